import { and, eq, gt, inArray, isNull, ne, or, sql } from 'drizzle-orm'
import { alias } from 'drizzle-orm/pg-core'
import { clients } from '~/features/clients/table'
import { authSessions } from '~/features/sign-ins/table'
import { secondFactors, users } from '~/features/users/table'
import type { Db } from '~/platform/db'
import type { MemberRole } from '~/platform/principal'
import { oneTimeTokens } from './table'

export interface SignedIn {
  email: string
  clientId: string | null
  isAdmin: boolean
  /** In the client; null for platform admins. */
  role: MemberRole | null
  isActive: boolean
  /** The client asks for a second factor; null for admins. */
  secondFactorRequired: boolean | null
  hasSecondFactor: boolean
  /** Null when the session is unknown or has run out. */
  sessionId: string | null
  revokedAt: Date | null
  /** Not yet noted as seen within the last minutes. */
  isUnnoted: boolean
  /** The admin who acts as this user, and whether they still may. Null for an ordinary sign-in. */
  actor: { userId: string; email: string; isActive: boolean; isAdmin: boolean } | null
}

const actors = alias(users, 'actors')

/** The user as they are now, and the sign-in that their token came from. */
export async function findSignedIn(db: Db, userId: string, sessionId: string): Promise<SignedIn | undefined> {
  const [row] = await db
    .select({
      email: users.email,
      clientId: users.clientId,
      isAdmin: users.isAdmin,
      role: users.role,
      isActive: users.isActive,
      secondFactorRequired: clients.requireSecondFactor,
      hasSecondFactor: sql<boolean>`${secondFactors.confirmedAt} is not null`,
      sessionId: authSessions.id,
      revokedAt: authSessions.revokedAt,
      isUnnoted: sql<boolean>`coalesce(${authSessions.lastSeenAt} < now() - interval '5 minutes', false)`,
      actor: { userId: actors.id, email: actors.email, isActive: actors.isActive, isAdmin: actors.isAdmin },
    })
    .from(users)
    .leftJoin(authSessions, and(eq(authSessions.userId, users.id), eq(authSessions.id, sessionId), gt(authSessions.expiresAt, sql`now()`)))
    .leftJoin(clients, eq(clients.id, users.clientId))
    .leftJoin(secondFactors, eq(secondFactors.userId, users.id))
    .leftJoin(actors, eq(actors.id, authSessions.actorUserId))
    .where(eq(users.id, userId))
  return row
}

export const noteSeen = (db: Db, sessionId: string) =>
  db.update(authSessions).set({ lastSeenAt: sql`now()` }).where(eq(authSessions.id, sessionId))

type Purpose = (typeof oneTimeTokens.$inferSelect)['purpose']

const isUsable = (tokenHash: Buffer, purpose: Purpose) =>
  and(
    eq(oneTimeTokens.tokenHash, tokenHash),
    eq(oneTimeTokens.purpose, purpose),
    isNull(oneTimeTokens.usedAt),
    gt(oneTimeTokens.expiresAt, sql`clock_timestamp()`),
  )

/** Uses the token up: of any number of parallel calls one gets the user. */
export async function consumeToken(
  db: Db,
  tokenHash: Buffer,
  purpose: Purpose,
): Promise<{ userId: string; newEmail: string | null } | undefined> {
  const [row] = await db
    .update(oneTimeTokens)
    .set({ usedAt: sql`clock_timestamp()` })
    .where(isUsable(tokenHash, purpose))
    .returning({ userId: oneTimeTokens.userId, newEmail: oneTimeTokens.newEmail })
  return row
}

/** Whose token it is, as long as it may be used, and what their password must not be made of. */
export async function findTokenOwner(db: Db, tokenHash: Buffer, purpose: Purpose) {
  const [row] = await db
    .select({ userId: users.id, email: users.email, clientName: clients.name })
    .from(oneTimeTokens)
    .innerJoin(users, eq(users.id, oneTimeTokens.userId))
    .leftJoin(clients, eq(clients.id, users.clientId))
    .where(isUsable(tokenHash, purpose))
  return row && { userId: row.userId, email: row.email, names: [row.clientName] }
}

/** Whatever of the user is still waiting to be used, of all purposes or of these. */
export const deleteTokens = (db: Db, userId: string, purposes?: Purpose[]) =>
  db
    .delete(oneTimeTokens)
    .where(
      and(
        eq(oneTimeTokens.userId, userId),
        isNull(oneTimeTokens.usedAt),
        purposes === undefined ? undefined : inArray(oneTimeTokens.purpose, purposes),
      ),
    )

/** Ends the sign-ins of these people, and what they do as others where they are admins; all but one, if asked. Returns those that were alive. */
export const endSessions = (db: Db, userIds: string[], except?: string): Promise<{ userId: string; sessionId: string }[]> =>
  db
    .update(authSessions)
    .set({ revokedAt: sql`now()` })
    .where(
      and(
        or(inArray(authSessions.userId, userIds), inArray(authSessions.actorUserId, userIds)),
        isNull(authSessions.revokedAt),
        except === undefined ? undefined : ne(authSessions.id, except),
      ),
    )
    .returning({ userId: authSessions.userId, sessionId: authSessions.id })
