import { createLinkTokens } from '~/features/auth/link-tokens'
import { deriveToken, findToken, hashToken } from '~/features/auth/one-time-token'
import { createTemplates } from '~/features/mail/templates'
import { createInvitationLinks } from '~/features/members/invitation-links'

/** What the tests of mails and the worker processes they start agree on. */
export const TOKEN_KEY = Buffer.alloc(32, 7)
export const APP_URL = 'https://app.example'
export const composing = {
  render: createTemplates({
    appUrl: APP_URL,
    verifyTtlSeconds: 86_400,
    resetTtlSeconds: 3600,
    invitationTtlSeconds: 604_800,
    lockout: { attempts: 5, seconds: 1800 },
  }),
  invitations: createInvitationLinks({
    tokens: { derive: (id) => deriveToken(TOKEN_KEY, id), find: (id, hash) => findToken([TOKEN_KEY], id, hash), hash: hashToken },
  }),
  links: createLinkTokens({ keys: [TOKEN_KEY], ttlSeconds: { 'verify-email': 86_400, 'reset-password': 3600, 'change-email': 86_400 } }),
}
