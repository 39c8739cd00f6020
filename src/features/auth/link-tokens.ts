import { eq, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import { deriveToken, hashToken, issueToken, type OneTimePurpose } from './one-time-token'
import { oneTimeTokens } from './table'

export interface LinkRequest {
  tokenId: string
  userId: string
  purpose: OneTimePurpose
}

/** What a worker needs to write a mail with a one-time link. */
export interface LinkTokens {
  /** The token to mail and its row's id, which is another one where the link ran out while the mail waited (F-21); or why there is none to mail. */
  forMail(tx: Db, request: LinkRequest): Promise<{ id: string; token: string } | { skip: string }>
}

export interface LinkTokenSettings {
  key: Buffer
  ttlSeconds: Record<OneTimePurpose, number>
}

export const createLinkTokens = ({ key, ttlSeconds }: LinkTokenSettings): LinkTokens => ({
  async forMail(tx, { tokenId, userId, purpose }) {
    const [row] = await tx
      .select({
        userId: oneTimeTokens.userId,
        purpose: oneTimeTokens.purpose,
        hash: oneTimeTokens.tokenHash,
        used: sql<boolean>`${oneTimeTokens.usedAt} is not null`,
        expired: sql<boolean>`${oneTimeTokens.expiresAt} <= clock_timestamp()`,
      })
      .from(oneTimeTokens)
      .where(eq(oneTimeTokens.id, tokenId))
    if (row === undefined || row.userId !== userId || row.purpose !== purpose) return { skip: 'a newer link has taken its place' }
    if (row.used) return { skip: 'the link was used already' }
    const token = deriveToken(key, tokenId)
    // Another hash: the row is from the time of a former key.
    if (!row.expired && hashToken(token).equals(row.hash)) return { id: tokenId, token }
    const { id } = await issueToken(tx, { key, userId, purpose, ttlSeconds: ttlSeconds[purpose] })
    return { id, token: deriveToken(key, id) }
  },
})
