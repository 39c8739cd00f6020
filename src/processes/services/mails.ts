import type { Config } from '~/config'
import { createTemplates } from '~/features/mail/templates'
import { linkSeconds } from './people'

/** How mails read: the worker sends them, the development server shows them. */
export function createMails({ appUrl, access }: Config) {
  const ttlSeconds = linkSeconds(access)
  return {
    renderMail: createTemplates({
      appUrl,
      verifyTtlSeconds: ttlSeconds['verify-email'],
      resetTtlSeconds: ttlSeconds['reset-password'],
      invitationTtlSeconds: access.invitationHours * 3600,
      lockout: { attempts: access.maxLoginAttempts, seconds: access.lockoutMinutes * 60 },
    }),
  }
}
