import { and, desc, eq, sql } from 'drizzle-orm'
import { usageRecords } from '~/features/usage/table'
import type { Reach } from '~/platform/access'
import { bareArray } from '~/platform/bare-array'
import type { Db } from '~/platform/db'
import { behind, countSome, momentOf, type Position } from '~/platform/keyset'
import { type RunStatus, runSteps, runs } from '../table'

export interface RunFilter {
  clientId: string | undefined
  agentId: string | undefined
  sessionId: string | undefined
  status: RunStatus | undefined
}

/** What the model calls of a run, or of one step, used and cost. */
const sumOf = {
  input_tokens: sql<number>`coalesce(sum(${usageRecords.inputTokens}), 0)::float8`,
  output_tokens: sql<number>`coalesce(sum(${usageRecords.outputTokens}), 0)::float8`,
  cached_input_tokens: sql<number>`coalesce(sum(${usageRecords.cachedInputTokens}), 0)::float8`,
  reasoning_tokens: sql<number>`coalesce(sum(${usageRecords.reasoningTokens}), 0)::float8`,
  cost_usd: sql<number>`coalesce(sum(${usageRecords.costNanos}), 0)::float8 / 1e9`,
}

const shown = {
  id: runs.id,
  clientId: runs.clientId,
  agent_id: runs.agentId,
  session_id: runs.sessionId,
  status: runs.status,
  on_disconnect: runs.onDisconnect,
  result: runs.result,
  error: runs.error,
  waiting_for: runs.waitingFor,
  wake_at: runs.wakeAt,
  created_at: runs.createdAt,
  started_at: runs.startedAt,
  finished_at: runs.finishedAt,
}

const reached = ({ clientId, agentId }: Reach) =>
  and(clientId === null ? undefined : eq(runs.clientId, clientId), agentId === null ? undefined : eq(runs.agentId, agentId))

export async function findRun(db: Db, reach: Reach, id: string) {
  const [run] = await db
    .select(shown)
    .from(runs)
    .where(and(eq(runs.id, id), reached(reach)))
  return run
}

export async function findAgentOf(db: Db, id: string): Promise<string | undefined> {
  const [run] = await db.select({ agentId: runs.agentId }).from(runs).where(eq(runs.id, id))
  return run?.agentId
}

/** The run that a queued one waits behind, where that waits for somebody itself: by then nobody knows when its turn will come. */
export async function findEarlierThatWaits(db: Db, runId: string): Promise<string | undefined> {
  const rows = await db.execute<{ id: string }>(sql`
    select earlier.id from ${runs} earlier
    join ${runs} on ${runs.sessionId} = earlier.session_id and ${runs.clientId} = earlier.client_id
    where ${runs.id} = ${runId} and ${runs.status} = 'queued' and earlier.status in ('waiting', 'needs_reconcile')
      and earlier.waiting_for->>'reason' <> 'delay' and (earlier.wake_at is null or earlier.wake_at > now())
    limit 1`)
  return rows[0]?.id
}

export async function findUsage(db: Db, runId: string) {
  const [usage] = await db.select(sumOf).from(usageRecords).where(eq(usageRecords.runId, runId))
  return usage ?? NO_USAGE
}

const NO_USAGE = { input_tokens: 0, output_tokens: 0, cached_input_tokens: 0, reasoning_tokens: 0, cost_usd: 0 }

const matches = (reach: Reach, { clientId, agentId, sessionId, status }: RunFilter) =>
  and(
    reached(reach),
    clientId === undefined ? undefined : eq(runs.clientId, clientId),
    agentId === undefined ? undefined : eq(runs.agentId, agentId),
    sessionId === undefined ? undefined : eq(runs.sessionId, sessionId),
    status === undefined ? undefined : eq(runs.status, status),
  )

export const countRuns = (db: Db, reach: Reach, filter: RunFilter): Promise<number | undefined> =>
  countSome(db, sql`select from ${runs} where ${matches(reach, filter) ?? sql`true`}`)

/** Newest first, behind `after` where that is given. */
export async function listRuns(
  db: Db,
  reach: Reach,
  { after, skip, limit, ...filter }: RunFilter & { after: Position | undefined; skip: number; limit: number },
) {
  const rows = await db
    .select({ ...shown, at: momentOf(runs.createdAt) })
    .from(runs)
    .where(and(matches(reach, filter), behind(after, { by: runs.createdAt, id: runs.id, descending: true })))
    .orderBy(desc(runs.createdAt), desc(runs.id))
    .offset(after === undefined ? skip : 0)
    .limit(limit)
  const ids = rows.map(({ id }) => id)
  const used = await db
    .select({ runId: usageRecords.runId, ...sumOf })
    .from(usageRecords)
    .where(sql`${usageRecords.runId} = any(${bareArray(ids)}::uuid[])`)
    .groupBy(usageRecords.runId)
  const usageOf = new Map(used.map(({ runId, ...usage }) => [runId, usage]))
  return rows.map((row) => ({ ...row, usage: usageOf.get(row.id) ?? NO_USAGE }))
}

/** The steps of a run in the order in which they began, with what each used. */
export const listStepsShown = (db: Db, runId: string) =>
  db
    .select({
      key: runSteps.key,
      kind: runSteps.kind,
      effect: runSteps.effect,
      state: runSteps.state,
      startedAt: runSteps.startedAt,
      finishedAt: runSteps.finishedAt,
      used: {
        model: usageRecords.model,
        input_tokens: usageRecords.inputTokens,
        output_tokens: usageRecords.outputTokens,
        cached_input_tokens: usageRecords.cachedInputTokens,
        reasoning_tokens: usageRecords.reasoningTokens,
        cost_usd: sql<number>`${usageRecords.costNanos}::float8 / 1e9`,
      },
    })
    .from(runSteps)
    .leftJoin(usageRecords, and(eq(usageRecords.runId, runSteps.runId), eq(usageRecords.stepKey, runSteps.key)))
    .where(eq(runSteps.runId, runId))
    .orderBy(runSteps.startedAt, runSteps.key)
