import { readVerificationKey } from '~/platform/verification-key'
import type { Reader } from './reader'

export function readMail(read: Reader) {
  read.group = 'Mail'
  const sendgridKey = read.optional('SENDGRID_API_KEY', 'Key of SendGrid.', { secret: true })
  const email = {
    provider: read.choice(
      'EMAIL_PROVIDER',
      '`sendgrid`, `smtp`, or `mailbox` (kept in the database, shown at /dev/mailbox outside production).',
      sendgridKey === undefined ? 'mailbox' : 'sendgrid',
      ['sendgrid', 'smtp', 'mailbox'],
      { shown: 'sendgrid with SENDGRID_API_KEY, else mailbox' },
    ),
    from: read.email('EMAIL_FROM', 'Sender of all mails.', 'noreply@yourdomain.com'),
    sendgridKey,
    sendgridBaseUrl: read.url('SENDGRID_BASE_URL', "SendGrid's address.", 'https://api.sendgrid.com'),
    sendTimeoutMs: read.integer('EMAIL_TIMEOUT_MS', 'Deadline of one call to the mail provider.', 10_000, 100, 120_000),
    unknownHoldSeconds: read.integer(
      'EMAIL_UNKNOWN_HOLD_SECONDS',
      'How long a mail whose outcome is unknown waits for its delivery event before it is sent again.',
      120,
      1,
      86_400,
    ),
    webhookKey: read.optional(
      'SENDGRID_WEBHOOK_KEY',
      "Verification key of SendGrid's signed Event Webhook; without it no event is accepted.",
    ),
    webhookToleranceSeconds: read.integer(
      'SENDGRID_WEBHOOK_TOLERANCE_SECONDS',
      'How far the timestamp of such a report may be from now. SendGrid repeats reports for a day; a repeated event changes nothing.',
      86_400,
      1,
      315_360_000,
    ),
    smtp: {
      host: read.optional('SMTP_HOST', 'SMTP server.'),
      port: read.integer('SMTP_PORT', 'Its port.', 587, 1, 65535),
      user: read.optional('SMTP_USER', 'User name.'),
      password: read.optional('SMTP_PASSWORD', 'Password.', { secret: true }),
      useTls: read.flag('SMTP_USE_TLS', 'Demands STARTTLS.', true),
      useSsl: read.flag('SMTP_USE_SSL', 'TLS from the first byte.', false),
      from: read.email('SMTP_FROM', 'Sender, instead of EMAIL_FROM.', undefined),
    },
  }
  if (email.webhookKey !== undefined && readVerificationKey(email.webhookKey) === undefined)
    read.faults.push('SENDGRID_WEBHOOK_KEY must be the base64 of a public key on P-256, as SendGrid shows it')
  if (email.provider === 'sendgrid' && sendgridKey === undefined) read.faults.push('SENDGRID_API_KEY is needed by EMAIL_PROVIDER=sendgrid')
  if (email.provider === 'smtp' && email.smtp.host === undefined) read.faults.push('SMTP_HOST is needed by EMAIL_PROVIDER=smtp')
  return email
}
