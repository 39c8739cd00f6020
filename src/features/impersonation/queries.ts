import { and, asc, count, desc, eq, isNotNull, isNull, sql } from 'drizzle-orm'
import { alias } from 'drizzle-orm/pg-core'
import { clients } from '~/features/clients/table'
import { authSessions } from '~/features/sign-ins/table'
import { users } from '~/features/users/table'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'

const actors = alias(users, 'actors')

export async function clientExists(db: Db, clientId: string): Promise<boolean> {
  const [row] = await db.select({ id: clients.id }).from(clients).where(eq(clients.id, clientId))
  return row !== undefined
}

/** The client's first owner who could sign in, else the first such person of lesser rights. */
export async function findStandIn(db: Db, clientId: string): Promise<{ id: string; email: string } | undefined> {
  const rank = sql`array_position(array['owner', 'member', 'viewer'], ${users.role})`
  const [row] = await db
    .select({ id: users.id, email: users.email })
    .from(users)
    .where(and(eq(users.clientId, clientId), eq(users.isActive, true), eq(users.emailVerified, true), eq(users.isAdmin, false)))
    .orderBy(rank, asc(users.createdAt), asc(users.id))
    .limit(1)
  return row
}

export const insertImpersonation = (
  db: Db,
  { seconds, ...session }: Omit<typeof authSessions.$inferInsert, 'expiresAt'> & { actorUserId: string; seconds: number },
) => db.insert(authSessions).values({ ...session, expiresAt: sql`now() + ${seconds} * interval '1 second'` })

/** Newest first. */
export const listImpersonations = (db: Db, { skip, limit }: Page) =>
  db
    .select({
      id: authSessions.id,
      // A platform admin, who has no client, is never impersonated.
      client_id: sql<string>`${users.clientId}`,
      user_id: users.id,
      user_email: users.email,
      actor_user_id: actors.id,
      actor_email: actors.email,
      reason: authSessions.actorReason,
      created_at: authSessions.createdAt,
      expires_at: authSessions.expiresAt,
      revoked_at: authSessions.revokedAt,
      is_active: sql<boolean>`${authSessions.revokedAt} is null and ${authSessions.expiresAt} > now()`,
    })
    .from(authSessions)
    .innerJoin(users, eq(users.id, authSessions.userId))
    .innerJoin(actors, eq(actors.id, authSessions.actorUserId))
    // What the join says too, but not to the index that holds no other sign-ins.
    .where(isNotNull(authSessions.actorUserId))
    .orderBy(desc(authSessions.createdAt), desc(authSessions.id))
    .offset(skip)
    .limit(limit)

export async function countImpersonations(db: Db): Promise<number> {
  const [row] = await db.select({ total: count() }).from(authSessions).where(isNotNull(authSessions.actorUserId))
  return row?.total ?? 0
}

export interface Ended {
  userId: string
  clientId: string | null
  actorUserId: string | null
  /** False when it had been ended before. */
  now: boolean
}

/** Undefined when there was never such an impersonation. */
export async function endImpersonation(db: Db, id: string): Promise<Ended | undefined> {
  const [ended] = await db
    .update(authSessions)
    .set({ revokedAt: sql`now()` })
    .where(and(eq(authSessions.id, id), isNotNull(authSessions.actorUserId), isNull(authSessions.revokedAt)))
    .returning({ id: authSessions.id })
  const [row] = await db
    .select({ userId: authSessions.userId, clientId: users.clientId, actorUserId: authSessions.actorUserId })
    .from(authSessions)
    .innerJoin(users, eq(users.id, authSessions.userId))
    .where(and(eq(authSessions.id, id), isNotNull(authSessions.actorUserId)))
  return row && { ...row, now: ended !== undefined }
}
