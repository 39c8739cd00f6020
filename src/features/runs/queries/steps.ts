import { and, asc, eq, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import { runSteps, runs } from '../table'
import { asJson, type OwnedRun, ours } from './owned'

export const listSteps = (db: Db, runId: string) =>
  db.select().from(runSteps).where(eq(runSteps.runId, runId)).orderBy(asc(runSteps.startedAt), asc(runSteps.key))

type StepRow = Omit<typeof runSteps.$inferInsert, 'clientId' | 'leaseToken' | 'startedAt' | 'finishedAt'>

/** Writes a step if the run is still ours; false if it is not. */
export async function saveStep(db: Db, run: OwnedRun, step: StepRow): Promise<boolean> {
  const finished = step.state === 'open' ? sql`null` : sql`clock_timestamp()`
  const rows = await db.execute(sql`
    insert into ${runSteps} (run_id, key, client_id, kind, effect, state, lease_token, input_hash, result, error, started_at, finished_at)
    select id, ${step.key}, client_id, ${step.kind}, ${step.effect}, ${step.state}, lease_token, ${step.inputHash},
      ${asJson(step.result)}, ${asJson(step.error)}, clock_timestamp(), ${finished}
    from ${runs} where ${ours(run)}
    on conflict (run_id, key) do update set state = excluded.state, lease_token = excluded.lease_token, result = excluded.result, error = excluded.error, finished_at = excluded.finished_at
    returning 1 as saved`)
  return rows.length > 0
}

/** Settles a step of unknown outcome. False if there is no such open step. */
export async function settleStep(
  db: Db,
  runId: string,
  key: string,
  outcome: { state: 'open'; effect: 'idempotent' } | { state: 'done'; result: unknown },
): Promise<boolean> {
  const change =
    outcome.state === 'done' ? { state: 'done' as const, result: outcome.result, finishedAt: sql`now()` } : { effect: outcome.effect }
  const settled = await db
    .update(runSteps)
    .set(change)
    .where(and(eq(runSteps.runId, runId), eq(runSteps.key, key), eq(runSteps.state, 'open')))
    .returning({ key: runSteps.key })
  return settled.length > 0
}
