import { deriveToken } from '~/features/auth/one-time-token'
import { mailsAskedBy } from './outbox'
import type { TestApp } from './start-app'

/** The tokens of the links that were mailed to a user, oldest first: made as the mail worker makes them. */
export async function linksTo(app: TestApp, userId: string, template: string): Promise<string[]> {
  const mails = (await mailsAskedBy(app)).filter((mail) => mail.user_id === userId && mail.template === template)
  return mails.map(({ token_id }) => deriveToken(app.services.stores.linkKeys[0], String(token_id)))
}
