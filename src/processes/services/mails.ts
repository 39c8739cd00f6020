import type { Config } from '~/config'
import { createMailEventService } from '~/features/mail/event-service'
import { createEmailService } from '~/features/mail/service'
import { createTemplates } from '~/features/mail/templates'
import { readVerificationKey } from '~/platform/verification-key'
import type { Machinery } from './machinery'
import { linkSeconds } from './people'

/** How mails read, and what became of them. The worker sends them. */
export function createMails({ appUrl, access, email }: Config, { db, stores, write, log, clock }: Machinery) {
  const ttlSeconds = linkSeconds(access)
  return {
    renderMail: createTemplates({
      appUrl,
      verifyTtlSeconds: ttlSeconds['verify-email'],
      resetTtlSeconds: ttlSeconds['reset-password'],
      invitationTtlSeconds: access.invitationHours * 3600,
      lockout: { attempts: access.maxLoginAttempts, seconds: access.lockoutMinutes * 60 },
    }),
    emails: createEmailService({ db, write }),
    mailEvents: createMailEventService({
      database: stores.database,
      log,
      clock,
      key: email.webhookKey === undefined ? undefined : readVerificationKey(email.webhookKey),
      toleranceSeconds: email.webhookToleranceSeconds,
    }),
  }
}
