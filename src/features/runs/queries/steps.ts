import { and, asc, eq, sql } from 'drizzle-orm'
import { usageRecords } from '~/features/usage/table'
import type { Db } from '~/platform/db'
import type { Charge } from '../spending'
import { runSteps, runs } from '../table'
import { settleReservation } from './budgets'
import { asJson, type OwnedRun, ours } from './owned'

export const listSteps = (db: Db, runId: string) =>
  db.select().from(runSteps).where(eq(runSteps.runId, runId)).orderBy(asc(runSteps.startedAt), asc(runSteps.key))

type StepRow = Omit<typeof runSteps.$inferInsert, 'clientId' | 'leaseToken' | 'startedAt' | 'finishedAt'>

/** Writes a step if the run is still ours, and with a model's step what it used and cost; false if it is not. Done twice, it changes nothing. */
export async function saveStep(db: Db, run: OwnedRun, step: StepRow, charge?: Charge): Promise<boolean> {
  const finished = step.state === 'open' ? sql`null` : sql`clock_timestamp()`
  const saved = sql`
    saved as (
      insert into ${runSteps} (run_id, key, client_id, kind, effect, state, lease_token, input_hash, result, error, started_at, finished_at)
      select id, ${step.key}, client_id, ${step.kind}, ${step.effect}, ${step.state}, lease_token, ${step.inputHash},
        ${asJson(step.result)}, ${asJson(step.error)}, clock_timestamp(), ${finished}
      from ${runs} where ${ours(run)}
      on conflict (run_id, key) do update set state = excluded.state, effect = excluded.effect, lease_token = excluded.lease_token, result = excluded.result, error = excluded.error, finished_at = excluded.finished_at
      returning run_id
    )`
  const parts = charge === undefined ? [saved] : [saved, recordUsage(run, step.key, charge)]
  if (charge?.isReserved) {
    // A late owner's word does not count: its successor has counted that call already.
    parts.push(settleReservation(run, { stepKey: step.key, spentNanos: charge.costNanos }, sql`exists (select 1 from saved)`))
  }
  const rows = await db.execute(sql`with ${sql.join(parts, sql`, `)} select 1 from saved`)
  return rows.length > 0
}

const recordUsage = (run: OwnedRun, key: string, { model, usage, costNanos }: Charge) => sql`
  used as (
    insert into ${usageRecords} (run_id, step_key, client_id, agent_id, session_id, model, input_tokens, output_tokens, cached_input_tokens, reasoning_tokens, cost_nanos)
    select run_id, ${key}, ${run.clientId}, ${run.agentId}, ${run.sessionId}, ${model}, ${usage.inputTokens}, ${usage.outputTokens},
      ${usage.cachedInputTokens}, ${usage.reasoningTokens}, ${costNanos} from saved
    on conflict do nothing returning 1
  )`

export async function sumTokens(db: Db, runId: string): Promise<number> {
  const [row] = await db
    .select({ total: sql<number>`coalesce(sum(${usageRecords.inputTokens} + ${usageRecords.outputTokens}), 0)::float8` })
    .from(usageRecords)
    .where(eq(usageRecords.runId, runId))
  return row?.total ?? 0
}

export async function findStep(db: Db, runId: string, key: string) {
  const [step] = await db
    .select({ kind: runSteps.kind })
    .from(runSteps)
    .where(and(eq(runSteps.runId, runId), eq(runSteps.key, key)))
  return step
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
