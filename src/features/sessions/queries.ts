import { and, asc, count, desc, eq, sql } from 'drizzle-orm'
import type { Reach } from '~/platform/access'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { inBatches } from '~/platform/in-batches'
import { behind, momentOf } from '~/platform/keyset'
import type { AgentEvent } from '~/runtime/types'
import type { StoredEvent } from './event-view'
import { events, sessions } from './table'

const view = {
  id: sessions.id,
  app_name: sessions.agentId,
  user_id: sessions.externalId,
  state: sessions.state,
  create_time: sessions.createdAt,
  update_time: sessions.updatedAt,
  created_at: sessions.createdAt,
}

const within = ({ clientId, agentId }: Reach) =>
  and(clientId === null ? undefined : eq(sessions.clientId, clientId), agentId === null ? undefined : eq(sessions.agentId, agentId))

export async function findSession(db: Db, reach: Reach, id: string) {
  const [session] = await db
    .select({ ...view, clientId: sessions.clientId })
    .from(sessions)
    .where(and(eq(sessions.id, id), within(reach)))
  return session
}

/** Of one agent, or of all that a client has. */
interface SessionOwner {
  clientId: string
  agentId?: string
}

const owned = ({ clientId, agentId }: SessionOwner) =>
  and(eq(sessions.clientId, clientId), agentId === undefined ? undefined : eq(sessions.agentId, agentId))

/** Newest first. */
export const listSessions = (db: Db, owner: SessionOwner, { skip, limit, after }: Page) =>
  db
    .select({ ...view, at: momentOf(sessions.updatedAt) })
    .from(sessions)
    .where(and(owned(owner), behind(after, { by: sessions.updatedAt, id: sessions.id, descending: true, idsAscend: true })))
    .orderBy(desc(sessions.updatedAt), asc(sessions.id))
    .offset(skip)
    .limit(limit)

export async function countSessions(db: Db, owner: SessionOwner): Promise<number> {
  const [row] = await db.select({ total: count() }).from(sessions).where(owned(owner))
  return row?.total ?? 0
}

export async function deleteSession(db: Db, reach: Reach, id: string): Promise<{ clientId: string } | undefined> {
  const [deleted] = await db
    .delete(sessions)
    .where(and(eq(sessions.id, id), within(reach)))
    .returning({ clientId: sessions.clientId })
  return deleted
}

/** All of them with what hangs on them. For a transaction. */
export const deleteSessionsOf = (tx: Db, owner: SessionOwner): Promise<void> =>
  inBatches(tx, (limit) => {
    const some = tx.select({ id: sessions.id }).from(sessions).where(owned(owner)).limit(limit)
    return sql`delete from ${sessions} where ${sessions.id} = any(array(${some}))`
  })

/** The newest of them, oldest first. */
export async function listEvents(
  db: Db,
  { clientId, sessionId }: { clientId: string; sessionId: string },
  { skip, limit }: Page,
): Promise<StoredEvent[]> {
  const rows = await db
    .select({
      id: events.id,
      runId: events.runId,
      author: events.author,
      content: events.content,
      actions: events.actions,
      branch: events.branch,
      errorCode: events.errorCode,
      errorMessage: events.errorMessage,
      timestamp: sql<number>`extract(epoch from ${events.createdAt})::float8`,
    })
    .from(events)
    .where(and(eq(events.clientId, clientId), eq(events.sessionId, sessionId)))
    .orderBy(desc(events.position))
    .offset(skip)
    .limit(limit)
  // jsonb written by ourselves in this shape.
  return rows.reverse().map((row) => ({ ...row, content: row.content as unknown as AgentEvent['content'] }))
}
