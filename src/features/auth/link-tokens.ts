import { eq, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import type { DerivedKeys } from '~/platform/secrets'
import { deriveToken, findToken, issueToken, type MailedPurpose } from './one-time-token'
import { oneTimeTokens } from './table'

export interface LinkRequest {
  tokenId: string
  userId: string
  purpose: MailedPurpose
}

/** What a worker needs to write a mail with a one-time link. */
export interface LinkTokens {
  /** The token to mail and its row's id, which is another one where the link ran out while the mail waited (F-21); or why there is none to mail. */
  forMail(tx: Db, request: LinkRequest): Promise<{ id: string; token: string; newEmail: string | null } | { skip: string }>
  /** The address before and the one asked for. */
  changeOfAddress(tx: Db, tokenId: string): Promise<{ from: string; to: string } | undefined>
}

export interface LinkTokenSettings {
  keys: DerivedKeys
  ttlSeconds: Record<MailedPurpose, number>
}

export const createLinkTokens = ({ keys, ttlSeconds }: LinkTokenSettings): LinkTokens => ({
  async forMail(tx, { tokenId, userId, purpose }) {
    const [row] = await tx
      .select({
        userId: oneTimeTokens.userId,
        purpose: oneTimeTokens.purpose,
        hash: oneTimeTokens.tokenHash,
        newEmail: oneTimeTokens.newEmail,
        formerEmail: oneTimeTokens.formerEmail,
        used: sql<boolean>`${oneTimeTokens.usedAt} is not null`,
        expired: sql<boolean>`${oneTimeTokens.expiresAt} <= clock_timestamp()`,
      })
      .from(oneTimeTokens)
      .where(eq(oneTimeTokens.id, tokenId))
    if (row === undefined || row.userId !== userId || row.purpose !== purpose) return { skip: 'a newer link has taken its place' }
    if (row.used) return { skip: 'the link was used already' }
    // None: the row is from the time of a key that is gone.
    const token = row.expired ? undefined : findToken(keys, tokenId, row.hash)
    if (token !== undefined) return { id: tokenId, token, newEmail: row.newEmail }
    const [key] = keys
    const { newEmail, formerEmail } = row
    const change = newEmail === null || formerEmail === null ? {} : { change: { newEmail, formerEmail } }
    const { id } = await issueToken(tx, { key, userId, purpose, ttlSeconds: ttlSeconds[purpose], ...change })
    return { id, token: deriveToken(key, id), newEmail }
  },

  async changeOfAddress(tx, tokenId) {
    const [row] = await tx
      .select({ from: oneTimeTokens.formerEmail, to: oneTimeTokens.newEmail })
      .from(oneTimeTokens)
      .where(eq(oneTimeTokens.id, tokenId))
    return row === undefined || row.from === null || row.to === null ? undefined : { from: row.from, to: row.to }
  },
})
