import { and, asc, count, desc, eq, type SQL, sql } from 'drizzle-orm'
import { runs } from '~/features/runs/table'
import { events, sessions } from '~/features/sessions/table'
import type { Db } from '~/platform/db'
import { momentOf, type Position } from '~/platform/keyset'
import type { TaskState } from '~/runtime/a2a/task'
import type { AgentEvent } from '~/runtime/types'
import { a2aTasks } from '../table'

/** Whose tasks: those of one agent. */
export interface Owner {
  clientId: string
  agentId: string
}

const view = {
  id: a2aTasks.runId,
  clientId: a2aTasks.clientId,
  contextId: a2aTasks.contextId,
  createdAt: a2aTasks.createdAt,
  /** What the sender calls the message that the task began with. */
  messageId: sql<string | null>`${runs.input} ->> 'messageId'`,
  status: runs.status,
  result: runs.result,
  error: runs.error,
  waitingFor: runs.waitingFor,
  startedAt: runs.startedAt,
  finishedAt: runs.finishedAt,
}

/** Since when a task is as it is shown. */
const changedAt = sql`coalesce(${runs.finishedAt}, ${runs.startedAt}, ${a2aTasks.createdAt})`

export type TaskRow = NonNullable<Awaited<ReturnType<typeof findTask>>>

const ofTask = and(eq(runs.clientId, a2aTasks.clientId), eq(runs.id, a2aTasks.runId))
const owned = ({ clientId, agentId }: Owner) => and(eq(a2aTasks.clientId, clientId), eq(a2aTasks.agentId, agentId))

/** The same message is the same task, under the context that it had the first time. */
export async function insertTask(db: Db, task: Owner & { runId: string; contextId: string }): Promise<void> {
  await db.insert(a2aTasks).values(task).onConflictDoNothing()
}

export async function findTask(db: Db, owner: Owner, runId: string) {
  const [task] = await db
    .select(view)
    .from(a2aTasks)
    .innerJoin(runs, ofTask)
    .where(and(owned(owner), eq(a2aTasks.runId, runId)))
  return task
}

const STATUSES: Record<TaskState, (typeof runs.status.enumValues)[number][]> = {
  submitted: ['queued'],
  working: ['running', 'waiting', 'needs_reconcile'],
  completed: ['succeeded'],
  failed: ['failed'],
  canceled: ['cancelled'],
}

export const stateOf = (status: TaskRow['status']): TaskState =>
  (Object.keys(STATUSES) as TaskState[]).find((state) => STATUSES[state].includes(status)) ?? 'working'

export interface TaskFilter {
  contextId?: string | undefined
  state?: TaskState | undefined
  since?: Date | undefined
  after?: Position | undefined
}

function within(owner: Owner, { contextId, state, since, after }: TaskFilter): SQL | undefined {
  return and(
    owned(owner),
    contextId === undefined ? undefined : eq(a2aTasks.contextId, contextId),
    state === undefined ? undefined : sql`${runs.status} = any(${sql.param(STATUSES[state])}::text[])`,
    since === undefined ? undefined : sql`${changedAt} >= ${since.toISOString()}::timestamptz`,
    after === undefined ? undefined : sql`(${changedAt}, ${a2aTasks.runId}) < (${after.at}::timestamptz, ${after.id}::uuid)`,
  )
}

/** Last changed first. */
export const listTasks = (db: Db, owner: Owner, filter: TaskFilter, limit: number) =>
  db
    .select({ ...view, at: momentOf(changedAt) })
    .from(a2aTasks)
    .innerJoin(runs, ofTask)
    .where(within(owner, filter))
    .orderBy(desc(changedAt), desc(a2aTasks.runId))
    .limit(limit)

export async function countTasks(db: Db, owner: Owner, { contextId, state, since }: TaskFilter): Promise<number> {
  const [row] = await db.select({ total: count() }).from(a2aTasks).innerJoin(runs, ofTask).where(within(owner, { contextId, state, since }))
  return row?.total ?? 0
}

const eventView = {
  id: events.id,
  runId: events.runId,
  author: events.author,
  content: sql<AgentEvent['content']>`${events.content}`,
  createdAt: events.createdAt,
}
export type EventRow = Awaited<ReturnType<typeof listTaskEvents>>[number]

/** The events of some turns, oldest first. */
export const listTaskEvents = (db: Db, clientId: string, runIds: string[]) =>
  db
    .select(eventView)
    .from(events)
    .where(and(eq(events.clientId, clientId), sql`${events.runId} = any(${sql.param(runIds)}::uuid[])`))
    .orderBy(asc(events.position))

/** The newest first; of one external id there is one at most. */
export const listSessionsOf = (
  db: Db,
  { clientId, agentId }: Owner,
  { externalId, limit }: { externalId?: string | undefined; limit: number },
) =>
  db
    .select({
      id: sessions.id,
      externalId: sessions.externalId,
      updatedAt: sessions.updatedAt,
      // Spelt out: in a query of one table Drizzle leaves its name out, and the columns of the inner one have the same.
      messageCount: sql<number>`(select count(*) from events e where e.client_id = sessions.client_id and e.session_id = sessions.id)::int`,
    })
    .from(sessions)
    .where(
      and(
        eq(sessions.clientId, clientId),
        eq(sessions.agentId, agentId),
        // By the key that is made of the two, also in an agent of many sessions.
        externalId === undefined ? undefined : eq(sessions.id, `${externalId}_${agentId}`),
      ),
    )
    .orderBy(desc(sessions.updatedAt), asc(sessions.id))
    .limit(limit)

/** The last events of a conversation, oldest first. */
export async function listLastEvents(db: Db, clientId: string, sessionId: string, limit: number): Promise<EventRow[]> {
  const rows = await db
    .select(eventView)
    .from(events)
    .where(and(eq(events.clientId, clientId), eq(events.sessionId, sessionId)))
    .orderBy(desc(events.position))
    .limit(limit)
  return rows.reverse()
}

/** Runs that are not over and go back to the same request. */
export async function countActiveOf(db: Db, clientId: string, traceId: string): Promise<number> {
  const [row] = await db
    .select({ active: count() })
    .from(runs)
    .where(and(eq(runs.clientId, clientId), sql`${runs.status} = any('{queued,running,waiting}')`, eq(runs.traceId, traceId)))
  return row?.active ?? 0
}
