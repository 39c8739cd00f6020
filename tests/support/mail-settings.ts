import { createLinkTokens } from '~/features/auth/link-tokens'
import { createTemplates } from '~/features/mail/templates'

/** What the tests of mails and the worker processes they start agree on. */
export const TOKEN_KEY = Buffer.alloc(32, 7)
export const APP_URL = 'https://app.example'
export const composing = {
  render: createTemplates({ appUrl: APP_URL, verifyTtlSeconds: 86_400, resetTtlSeconds: 3600 }),
  links: createLinkTokens({ key: TOKEN_KEY, ttlSeconds: { 'verify-email': 86_400, 'reset-password': 3600 } }),
}
