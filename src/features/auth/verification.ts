import type { Unit } from '~/platform/unit-of-work'
import { issueToken } from './one-time-token'

/** Asks the owner of a new account's address to confirm it, by a mail with a link. */
export type SendVerification = (unit: Pick<Unit, 'tx' | 'mail'>, userId: string) => Promise<void>

export const createSendVerification =
  ({ linkKey, ttlSeconds }: { linkKey: Buffer; ttlSeconds: number }): SendVerification =>
  async ({ tx, mail }, userId) => {
    const { id } = await issueToken(tx, { key: linkKey, userId, purpose: 'verify-email', ttlSeconds })
    mail({ template: 'verify-email', user_id: userId, token_id: id })
  }
