import { and, asc, eq, sql } from 'drizzle-orm'
import { runs } from '~/features/runs/table'
import type { Db } from '~/platform/db'
import type { Dialect } from '~/runtime/a2a/task'
import { a2aPushConfigs } from '../table'

export interface PushRow {
  runId: string
  id: string
  clientId: string
  dialect: Dialect
  sealed: string
}

/** Of the same id the later one stands, and is told of a task that is over already. */
export async function upsertPush(db: Db, row: PushRow): Promise<void> {
  const { dialect, sealed } = row
  await db
    .insert(a2aPushConfigs)
    .values(row)
    .onConflictDoUpdate({
      target: [a2aPushConfigs.runId, a2aPushConfigs.id],
      set: { dialect, sealed, state: 'pending', attempts: 0, told: null, telling: null, dueAt: sql`now()` },
    })
}

const ofRun = (clientId: string, runId: string) => and(eq(a2aPushConfigs.clientId, clientId), eq(a2aPushConfigs.runId, runId))

export const listPush = (db: Db, clientId: string, runId: string) =>
  db
    .select({ id: a2aPushConfigs.id, sealed: a2aPushConfigs.sealed })
    .from(a2aPushConfigs)
    .where(ofRun(clientId, runId))
    .orderBy(asc(a2aPushConfigs.createdAt), asc(a2aPushConfigs.id))

export async function deletePush(db: Db, clientId: string, runId: string, id: string): Promise<boolean> {
  const gone = await db
    .delete(a2aPushConfigs)
    .where(and(ofRun(clientId, runId), eq(a2aPushConfigs.id, id)))
    .returning({ id: a2aPushConfigs.id })
  return gone.length > 0
}

export type DuePush = PushRow & {
  attempts: number
  agentId: string
  /** What is to be told: `over`, or since when the run waits for somebody. */
  telling: string
}

/** A delay passes by itself, and is no news. */
const STANDING = sql`case when ${runs.finishedAt} is not null then 'over'
  when ${runs.status} in ('waiting', 'needs_reconcile') and ${runs.waitingFor}->>'reason' <> 'delay' then 'waits since ' || ${runs.waitingSince}::text end`

/** Takes notifications of runs that are over or wait for somebody, for `leaseSeconds`; another worker takes them again when this one never says what came of it. */
export async function takeDuePush(db: Db, { limit, leaseSeconds }: { limit: number; leaseSeconds: number }): Promise<DuePush[]> {
  const rows = await db.execute<{
    run_id: string
    id: string
    client_id: string
    agent_id: string
    dialect: Dialect
    sealed: string
    attempts: number
    telling: string
  }>(sql`
    update ${a2aPushConfigs} as taken
    set attempts = case when taken.telling = due.standing then taken.attempts else 0 end + 1, telling = due.standing, due_at = now() + make_interval(secs => ${leaseSeconds})
    from (
      select config.run_id, config.id, ${runs.agentId} as agent_id, ${STANDING} as standing
      from ${a2aPushConfigs} as config join ${runs} on ${runs.id} = config.run_id
      where config.state = 'pending' and config.due_at <= now() and ${STANDING} <> coalesce(config.told, '')
      order by config.due_at
      limit ${limit}
      for update of config skip locked
    ) as due
    where taken.run_id = due.run_id and taken.id = due.id
    returning taken.run_id, taken.id, taken.client_id, due.agent_id, taken.dialect, taken.sealed, taken.attempts, taken.telling`)
  return rows.map(({ run_id, client_id, agent_id, ...row }) => ({ ...row, runId: run_id, clientId: client_id, agentId: agent_id }))
}

/**
 * What an attempt came to: `retryInMs` says when to try again. What was told on the way is not the end of it, and what became of an address that was
 * replaced meanwhile says nothing about the next one.
 */
export async function settlePush(
  db: Db,
  { runId, id, telling, sealed }: Pick<DuePush, 'runId' | 'id' | 'telling' | 'sealed'>,
  { state, outcome, retryInMs = 0 }: { state: 'pending' | 'sent' | 'failed'; outcome: string; retryInMs?: number },
): Promise<void> {
  await db
    .update(a2aPushConfigs)
    .set({
      state: telling === 'over' ? state : 'pending',
      outcome,
      ...(state === 'pending' ? {} : { told: telling }),
      dueAt: sql`now() + make_interval(secs => ${retryInMs / 1000})`,
    })
    .where(and(eq(a2aPushConfigs.runId, runId), eq(a2aPushConfigs.id, id), eq(a2aPushConfigs.sealed, sealed)))
}
