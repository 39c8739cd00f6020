import { and, count, desc, eq, isNull, lt, or, sql } from 'drizzle-orm'
import { users } from '~/features/users/table'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import type { SignIn } from './schema'
import { authSessions } from './table'

const seconds = (value: number) => sql`${value} * interval '1 second'`

export interface NewSignIn {
  id: string
  userId: string
  address: string
  userAgent: string | null
  refreshHash: Buffer
  seconds: number
}

/** True when the user has signed in before, but neither from that address nor with that program. */
export async function insertSignIn(db: Db, { seconds: life, ...values }: NewSignIn): Promise<boolean> {
  const before = sql`select from auth_sessions before where before.user_id = ${values.userId} and before.actor_user_id is null`
  const [row] = await db
    .insert(authSessions)
    .values({ ...values, expiresAt: sql`now() + ${seconds(life)}` })
    .returning({
      isStrange: sql<boolean>`exists (${before}) and not exists (
        ${before} and (before.address = ${values.address} or before.user_agent is not distinct from ${values.userAgent}))`,
    })
  return row?.isStrange === true
}

/** Impersonations are no sign-ins of the user's own: they are listed and ended by admins. */
const ownOf = (userId: string) => and(eq(authSessions.userId, userId), isNull(authSessions.actorUserId))

/** Drops what ended more than a day ago, and ends all but the newest `keep`: nobody has an endless number of them. */
export async function tidySignIns(db: Db, userId: string, keep: number) {
  const dayAgo = sql`now() - interval '1 day'`
  await db.delete(authSessions).where(and(ownOf(userId), or(lt(authSessions.revokedAt, dayAgo), lt(authSessions.expiresAt, dayAgo))))
  const surplus = db
    .select({ id: authSessions.id })
    .from(authSessions)
    .where(and(ownOf(userId), isNull(authSessions.revokedAt)))
    .orderBy(desc(authSessions.createdAt), desc(authSessions.id))
    .offset(keep)
  await db.update(authSessions).set({ revokedAt: sql`now()` }).where(sql`${authSessions.id} in ${surplus}`)
}

export interface Refreshable {
  userId: string
  clientId: string | null
  isAdmin: boolean
  /** Neither ended nor run out, and the user is switched on. */
  isGood: boolean
  hash: Buffer | null
  generation: number
  /** Since the last refresh. */
  ageSeconds: number
}

/** Locks the sign-in until the transaction ends, so that of parallel refreshes one is first and the others see what it did. */
export async function lockSignIn(tx: Db, id: string, idleSeconds: number): Promise<Refreshable | undefined> {
  const usedAt = sql`coalesce(${authSessions.refreshedAt}, ${authSessions.createdAt})`
  const [row] = await tx
    .select({
      userId: users.id,
      clientId: users.clientId,
      isAdmin: users.isAdmin,
      isGood: sql<boolean>`${users.isActive} and ${authSessions.revokedAt} is null and ${authSessions.expiresAt} > clock_timestamp()
        and ${usedAt} + ${seconds(idleSeconds)} > clock_timestamp()`,
      hash: authSessions.refreshHash,
      generation: authSessions.refreshGeneration,
      ageSeconds: sql<number>`extract(epoch from clock_timestamp() - ${usedAt})::float8`,
    })
    .from(authSessions)
    .innerJoin(users, eq(users.id, authSessions.userId))
    .where(eq(authSessions.id, id))
    .for('no key update', { of: authSessions })
  return row
}

export const setRefreshed = (
  tx: Db,
  id: string,
  values: { refreshHash: Buffer; refreshGeneration: number; address: string; userAgent: string | null },
) =>
  tx
    .update(authSessions)
    .set({ ...values, refreshedAt: sql`clock_timestamp()`, lastSeenAt: sql`clock_timestamp()` })
    .where(eq(authSessions.id, id))

const isAlive = (userId: string, idleSeconds: number) =>
  and(
    ownOf(userId),
    isNull(authSessions.revokedAt),
    sql`${authSessions.expiresAt} > now()`,
    sql`coalesce(${authSessions.refreshedAt}, ${authSessions.createdAt}) + ${seconds(idleSeconds)} > now()`,
  )

/** Newest first. */
export const listSignIns = (db: Db, userId: string, idleSeconds: number, { skip, limit }: Page): Promise<Omit<SignIn, 'is_current'>[]> =>
  db
    .select({
      id: authSessions.id,
      user_agent: authSessions.userAgent,
      address: authSessions.address,
      created_at: authSessions.createdAt,
      last_seen_at: authSessions.lastSeenAt,
      expires_at: authSessions.expiresAt,
    })
    .from(authSessions)
    .where(isAlive(userId, idleSeconds))
    .orderBy(desc(authSessions.createdAt), desc(authSessions.id))
    .offset(skip)
    .limit(limit)

export async function countSignIns(db: Db, userId: string, idleSeconds: number): Promise<number> {
  const [row] = await db.select({ total: count() }).from(authSessions).where(isAlive(userId, idleSeconds))
  return row?.total ?? 0
}

/** Whether it was alive until now. Whoever signs in as somebody else may end what they began themselves: `own` false. */
export async function endSignIn(db: Db, userId: string, id: string, { own }: { own: boolean }): Promise<boolean> {
  const ended = await db
    .update(authSessions)
    .set({ revokedAt: sql`now()` })
    .where(and(own ? ownOf(userId) : eq(authSessions.userId, userId), eq(authSessions.id, id), isNull(authSessions.revokedAt)))
    .returning({ id: authSessions.id })
  return ended.length > 0
}
