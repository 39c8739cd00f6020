import { createHash, createHmac } from 'node:crypto'
import { and, eq, isNull, lt, or, sql } from 'drizzle-orm'
import { users } from '~/features/users/table'
import type { Db } from '~/platform/db'
import type { DerivedKeys } from '~/platform/secrets'
import { oneTimeTokens } from './table'

export type OneTimePurpose = (typeof oneTimeTokens.$inferSelect)['purpose']
export type MailedPurpose = Exclude<OneTimePurpose, 'second-factor'>

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
const LENGTH = 32
/** The largest multiple of 62 that a byte can hold: bytes above it would make the first letters likelier. */
const FAIR = 256 - (256 % ALPHABET.length)

/**
 * The token of a link: 32 characters of [A-Za-z0-9], 190 bits, made from the row's id and a server key.
 * So the worker that writes the mail needs no stored token, and a copy of the database opens nothing.
 */
export function deriveToken(key: Buffer, tokenId: string): string {
  let token = ''
  for (let block = 0; ; block += 1) {
    for (const byte of createHmac('sha256', key).update(`one-time-token:${tokenId}:${block}`).digest()) {
      if (byte < FAIR) token += ALPHABET[byte % ALPHABET.length]
      if (token.length === LENGTH) return token
    }
  }
}

/** The token of a row by its hash, whichever of the keys it was made with; undefined if none of those that are left. */
export const findToken = (keys: DerivedKeys, tokenId: string, hash: Buffer): string | undefined =>
  keys.map((key) => deriveToken(key, tokenId)).find((token) => hashToken(token).equals(hash))

/** What is stored and looked up. The token is random enough for a plain hash. */
export const hashToken = (token: string): Buffer => createHash('sha256').update(token).digest()

export interface NewToken {
  key: Buffer
  userId: string
  purpose: OneTimePurpose
  ttlSeconds: number
  /** Of a change of address: where the link goes, and who is told about it. */
  change?: { newEmail: string; formerEmail: string }
}

/**
 * Makes a token row and deletes the user's unused ones of that purpose: only the latest link works. The same transaction mails its id. Used ones go after a
 * day, when no mail that tells of one can still be waiting.
 * Locks the user's row, so that two at once do not leave two links.
 */
export async function issueToken(tx: Db, { key, userId, purpose, ttlSeconds, change }: NewToken): Promise<{ id: string }> {
  await tx.select({ id: users.id }).from(users).where(eq(users.id, userId)).for('no key update')
  const isOver = or(isNull(oneTimeTokens.usedAt), lt(oneTimeTokens.usedAt, sql`now() - interval '1 day'`))
  await tx.delete(oneTimeTokens).where(and(eq(oneTimeTokens.userId, userId), eq(oneTimeTokens.purpose, purpose), isOver))
  const id = Bun.randomUUIDv7()
  await tx.insert(oneTimeTokens).values({
    id,
    userId,
    purpose,
    tokenHash: hashToken(deriveToken(key, id)),
    ...change,
    expiresAt: sql`clock_timestamp() + ${ttlSeconds} * interval '1 second'`,
  })
  return { id }
}
