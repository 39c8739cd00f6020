import { and, asc, desc, eq, sql } from 'drizzle-orm'
import type { Reach } from '~/platform/access'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
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

export const listSessionsOfClient = (db: Db, clientId: string, { skip, limit }: Page) =>
  db
    .select(view)
    .from(sessions)
    .where(eq(sessions.clientId, clientId))
    .orderBy(desc(sessions.updatedAt), asc(sessions.id))
    .offset(skip)
    .limit(limit)

export const listSessionsOfAgent = (db: Db, clientId: string, agentId: string, { skip, limit }: Page) =>
  db
    .select(view)
    .from(sessions)
    .where(and(eq(sessions.clientId, clientId), eq(sessions.agentId, agentId)))
    .orderBy(desc(sessions.updatedAt), asc(sessions.id))
    .offset(skip)
    .limit(limit)

export async function deleteSession(db: Db, reach: Reach, id: string): Promise<{ clientId: string } | undefined> {
  const [deleted] = await db
    .delete(sessions)
    .where(and(eq(sessions.id, id), within(reach)))
    .returning({ clientId: sessions.clientId })
  return deleted
}

/** Oldest first. */
export async function listEvents(db: Db, clientId: string, sessionId: string): Promise<StoredEvent[]> {
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
    .orderBy(asc(events.position))
  // jsonb written by ourselves in this shape.
  return rows.map((row) => ({ ...row, content: row.content as unknown as AgentEvent['content'] }))
}
