import { createLinkTokens } from '~/features/auth/link-tokens'
import { createMailbox } from '~/features/mail/mailbox'
import { createMailWorker, type MailWorker, type MailWorkerSettings } from '~/features/mail/worker'
import { silentLog } from '~/platform/log'
import type { TestApp } from './start-app'

/** The worker of a server's mails, which go to the development mailbox. */
export function createMailboxWorker(services: TestApp['services'], more: Pick<MailWorkerSettings, 'duePollMs'> = {}): MailWorker {
  const { database, redis, linkKeys } = services.stores
  return createMailWorker({
    database,
    redis,
    log: silentLog,
    sender: createMailbox({ write: () => {} }),
    from: 'noreply@example.com',
    sendTimeoutMs: 1000,
    unknownHoldSeconds: 1,
    links: createLinkTokens({ keys: linkKeys, ttlSeconds: { 'verify-email': 86_400, 'reset-password': 3600, 'change-email': 86_400 } }),
    invitations: services.invitationLinks,
    render: services.renderMail,
    ...more,
  })
}
