import { and, asc, eq, inArray, isNull, sql } from 'drizzle-orm'
import { events, sessions } from '~/features/sessions/table'
import type { Reach } from '~/platform/access'
import type { Db } from '~/platform/db'
import type { AgentEvent, RunInput } from '~/runtime/types'
import type { LogEvent, RunFailure } from './log-event'
import { type RunStatus, runEvents, runSteps, runs } from './table'

/** A run in the hands of one process. Every write carries `leaseToken`, and one of an earlier owner changes nothing. */
export interface OwnedRun {
  id: string
  clientId: string
  agentId: string
  sessionId: string
  leaseToken: number
  input: RunInput
  traceId: string
  createdAt: Date
  deadlineAt: Date
  /** Executed before, by a process that is gone. */
  recovered: boolean
}

export interface NewRun {
  id: string
  clientId: string
  agentId: string
  sessionId: string
  externalId: string
  input: RunInput
  content: AgentEvent['content']
  caller: Record<string, unknown>
  traceId: string
  onDisconnect: 'continue' | 'cancel'
  owner: string
  leaseSeconds: number
  timeoutSeconds: number
}

const seconds = (value: number) => sql`make_interval(secs => ${value})`
const BUSY = sql`('running', 'waiting', 'needs_reconcile')`

/** Finds or makes the session and locks it until the transaction ends: turns of one session are accepted one after the other. */
export const upsertSession = (
  db: Db,
  { sessionId, clientId, agentId, externalId }: Pick<NewRun, 'sessionId' | 'clientId' | 'agentId' | 'externalId'>,
) =>
  db
    .insert(sessions)
    .values({ id: sessionId, clientId, agentId, externalId })
    .onConflictDoUpdate({ target: sessions.id, set: { updatedAt: sql`now()` } })

/** Starts at once if the session is idle, else waits for its turn. Needs the session's lock. */
export async function insertRun(db: Db, run: NewRun): Promise<{ status: RunStatus; createdAt: Date; deadlineAt: Date }> {
  const idle = sql`not exists (select 1 from ${runs} busy where busy.session_id = ${run.sessionId} and busy.status in ('queued', 'running', 'waiting', 'needs_reconcile'))`
  const [inserted] = await db
    .insert(runs)
    .values({
      id: run.id,
      clientId: run.clientId,
      agentId: run.agentId,
      sessionId: run.sessionId,
      status: sql`case when ${idle} then 'running' else 'queued' end`,
      onDisconnect: run.onDisconnect,
      input: run.input,
      caller: run.caller,
      traceId: run.traceId,
      leaseOwner: run.owner,
      leaseToken: 1,
      leaseUntil: sql`now() + ${seconds(run.leaseSeconds)}`,
      deadlineAt: sql`now() + ${seconds(run.timeoutSeconds)}`,
      startedAt: sql`case when ${idle} then now() end`,
    })
    .returning({ status: runs.status, createdAt: runs.createdAt, deadlineAt: runs.deadlineAt })
  return inserted as { status: RunStatus; createdAt: Date; deadlineAt: Date }
}

/** The user's own message is the turn's event number 0. It is stored when the turn begins, behind what an earlier turn still had to say; once only. */
export const insertUserEvent = (db: Db, { id, clientId, sessionId, content }: Pick<NewRun, 'id' | 'clientId' | 'sessionId' | 'content'>) =>
  db
    .insert(events)
    .values({ id: Bun.randomUUIDv7(), clientId, sessionId, runId: id, ordinal: 0, author: 'user', content: { ...content } })
    .onConflictDoNothing({ target: [events.runId, events.ordinal] })

export async function countActiveRuns(db: Db, clientId: string): Promise<number> {
  const [row] = await db
    .select({ total: sql<number>`count(*)::int` })
    .from(runs)
    .where(and(eq(runs.clientId, clientId), sql`${runs.status} in ('queued', 'running')`))
  return row?.total ?? 0
}

/**
 * Takes a run whose turn it is: a queued one of our own, or any whose owner's lease has run out. Undefined when somebody else has it or the session is busy.
 * The database's clock decides, so that no replica's own can steal a lease.
 */
export async function claimRun(
  db: Db,
  { id, owner, leaseSeconds }: { id: string; owner: string; leaseSeconds: number },
): Promise<OwnedRun | undefined> {
  const [row] = await db
    .update(runs)
    .set({
      status: 'running',
      leaseOwner: owner,
      leaseToken: sql`${runs.leaseToken} + 1`,
      leaseUntil: sql`now() + ${seconds(leaseSeconds)}`,
      startedAt: sql`coalesce(${runs.startedAt}, now())`,
    })
    .where(
      and(
        eq(runs.id, id),
        sql`(${runs.leaseUntil} < now() or (${runs.status} = 'queued' and ${runs.leaseOwner} = ${owner}))`,
        sql`${runs.status} in ('queued', 'running')`,
        sql`not exists (
          select 1 from ${runs} other where other.session_id = ${runs.sessionId} and other.id <> ${runs.id}
          and (other.status in ${BUSY} or (other.status = 'queued' and (other.created_at, other.id) < (${runs.createdAt}, ${runs.id})))
        )`,
      ),
    )
    .returning(owned)
  return row === undefined ? undefined : { ...row, input: row.input as RunInput, recovered: true }
}

const owned = {
  id: runs.id,
  clientId: runs.clientId,
  agentId: runs.agentId,
  sessionId: runs.sessionId,
  leaseToken: runs.leaseToken,
  input: runs.input,
  traceId: runs.traceId,
  createdAt: runs.createdAt,
  deadlineAt: runs.deadlineAt,
}

/** Runs that nobody looks after any more, longest first. */
export async function listAbandoned(db: Db, limit: number): Promise<string[]> {
  const rows = await db
    .select({ id: runs.id })
    .from(runs)
    .where(sql`${runs.status} in ('queued', 'running') and ${runs.leaseUntil} < now()`)
    .orderBy(asc(runs.leaseUntil))
    .limit(limit)
  return rows.map(({ id }) => id)
}

/** Extends the leases that are still ours. A run that is missing from the answer has been taken over or is over. */
export const renewLeases = (db: Db, { ids, owner, leaseSeconds }: { ids: string[]; owner: string; leaseSeconds: number }) =>
  db
    .update(runs)
    .set({ leaseUntil: sql`now() + ${seconds(leaseSeconds)}` })
    .where(
      sql`${runs.id} = any(${sql.param(`{${ids.join(',')}}`)}::uuid[]) and ${runs.leaseOwner} = ${owner} and ${runs.status} in ('queued', 'running')`,
    )
    .returning({ id: runs.id, status: runs.status, leaseToken: runs.leaseToken, cancelRequestedAt: runs.cancelRequestedAt })

/** Gives up a run in good order: whoever looks for abandoned runs takes it at once. */
export const releaseLease = (db: Db, run: OwnedRun) => db.update(runs).set({ leaseUntil: sql`now()` }).where(ours(run))

/** Gives up what a dead process held, so that others need not wait for its leases to run out. */
export const expireLeases = (db: Db, owner: string) =>
  db.update(runs).set({ leaseUntil: sql`now()` }).where(sql`${runs.leaseOwner} = ${owner} and ${runs.status} in ('queued', 'running')`)

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

/** Appends consecutive entries of the event log if the run is still ours; false if it is not. Done twice, it changes nothing. */
export async function saveLog(db: Db, run: OwnedRun, entries: LogEvent[]): Promise<boolean> {
  const rows = await db.execute(sql`${insertLog(run, entries)} returning 1 as saved`)
  return rows.length > 0
}

/** Stores a whole event together with the log entries up to the one that shows it. Done twice, it changes nothing. */
export async function saveEvent(
  db: Db,
  run: OwnedRun,
  { id, ordinal, event, entries }: { id: string; ordinal: number; event: AgentEvent; entries: LogEvent[] },
): Promise<boolean> {
  const rows = await db.execute(sql`
    with logged as (${insertLog(run, entries)} returning 1),
    stored as (
      insert into ${events} (id, client_id, session_id, run_id, ordinal, author, content, actions, branch)
      select ${id}, client_id, session_id, id, ${ordinal}, ${event.author}, ${asJson(event.content)}, ${asJson(event.actions ?? {})}, ${event.branch ?? null}
      from ${runs} where ${ours(run)}
      on conflict (id) do update set ordinal = excluded.ordinal returning 1
    )
    select 1 from logged, stored`)
  return rows.length > 0
}

/** Ends the run together with its last log entries; false if it is not ours any more, or over already. */
export async function finishRun(
  db: Db,
  run: OwnedRun,
  { status, result, error, entries }: { status: RunStatus; result?: { response: string }; error?: RunFailure; entries: LogEvent[] },
): Promise<boolean> {
  const over = status === 'needs_reconcile' || status === 'waiting' ? sql`null` : sql`now()`
  const rows = await db.execute(sql`
    with logged as (${insertLog(run, entries)} returning 1)
    update ${runs} set status = ${status}, result = ${asJson(result)}, error = ${asJson(error)}, finished_at = ${over}, lease_until = null, lease_owner = null
    from logged where ${ours(run)} returning 1 as saved`)
  return rows.length > 0
}

const ours = ({ id, leaseToken }: OwnedRun) => sql`${runs.id} = ${id} and ${runs.leaseToken} = ${leaseToken} and ${runs.finishedAt} is null`

const insertLog = (run: OwnedRun, entries: LogEvent[]) => sql`
  insert into ${runEvents} (run_id, first_seq, last_seq, client_id, events)
  select id, ${entries[0]?.seq ?? 0}::bigint, ${entries.at(-1)?.seq ?? 0}::bigint, client_id, ${asJson(entries)} from ${runs} where ${ours(run)}
  on conflict (run_id, first_seq) do update set last_seq = excluded.last_seq, events = excluded.events`

const asJson = (value: unknown) =>
  value === undefined || value === null ? sql`null::jsonb` : sql`${storable(JSON.stringify(value))}::text::jsonb`

/** jsonb takes neither NUL nor lone surrogates, and a tool may answer with both. JSON.stringify writes them as escapes, and whole pairs as they are. */
const storable = (json: string) =>
  json.includes('\\u') ? json.replace(/(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/gi, '$1\ufffd') : json

export async function listLog(db: Db, runId: string, { after, limit }: { after: number; limit: number }): Promise<LogEvent[]> {
  const chunks = await db
    .select({ events: runEvents.events })
    .from(runEvents)
    .where(sql`${runEvents.runId} = ${runId} and ${runEvents.lastSeq} > ${after}`)
    .orderBy(asc(runEvents.firstSeq))
    .limit(limit)
  return chunks.flatMap((chunk) => chunk.events as LogEvent[]).filter(({ seq }) => seq > after)
}

export async function findLastSeq(db: Db, runId: string): Promise<number> {
  const [row] = await db
    .select({ last: sql<number>`coalesce(max(${runEvents.lastSeq}), 0)::int` })
    .from(runEvents)
    .where(eq(runEvents.runId, runId))
  return row?.last ?? 0
}

/** How many of the agent's events of this run are stored: a repeated execution does not store them again. */
export async function countStoredEvents(db: Db, runId: string): Promise<number> {
  const [row] = await db
    .select({ last: sql<number>`coalesce(max(${events.ordinal}), 0)::int` })
    .from(events)
    .where(eq(events.runId, runId))
  return row?.last ?? 0
}

/** The session before this turn. */
export async function listHistory(
  db: Db,
  { clientId, sessionId, runId, limit }: { clientId: string; sessionId: string; runId: string; limit: number },
): Promise<AgentEvent[]> {
  const rows = await db
    .select({ author: events.author, content: events.content, actions: events.actions })
    .from(events)
    .where(and(eq(events.clientId, clientId), eq(events.sessionId, sessionId), sql`${events.runId} is distinct from ${runId}`))
    .orderBy(sql`${events.position} desc`)
    .limit(limit)
  return rows.reverse().map(({ author, content, actions }) => ({ author, content: content as unknown as AgentEvent['content'], actions }))
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
  created_at: runs.createdAt,
  started_at: runs.startedAt,
  finished_at: runs.finishedAt,
}

const within = ({ clientId, agentId }: Reach, id: string) =>
  and(
    eq(runs.id, id),
    clientId === null ? undefined : eq(runs.clientId, clientId),
    agentId === null ? undefined : eq(runs.agentId, agentId),
  )

export async function findRun(db: Db, reach: Reach, id: string) {
  const [run] = await db.select(shown).from(runs).where(within(reach, id))
  return run
}

/** Asks for the end of a run: the process that executes it hears of it. Undefined when it is over or unknown. */
export async function requestCancel(db: Db, reach: Reach, id: string): Promise<RunStatus | undefined> {
  const [row] = await db
    .update(runs)
    .set({ cancelRequestedAt: sql`coalesce(${runs.cancelRequestedAt}, now())` })
    .where(and(within(reach, id), isNull(runs.finishedAt)))
    .returning({ status: runs.status })
  return row?.status
}

/** Takes a run that nobody executes at the moment, to end it or to let it go on. */
export async function takeIdle(db: Db, { id, owner }: { id: string; owner: string }): Promise<OwnedRun | undefined> {
  const [row] = await db
    .update(runs)
    .set({ leaseOwner: owner, leaseToken: sql`${runs.leaseToken} + 1` })
    .where(and(eq(runs.id, id), inArray(runs.status, ['queued', 'waiting', 'needs_reconcile'])))
    .returning(owned)
  return row === undefined ? undefined : { ...row, input: row.input as RunInput, recovered: true }
}

/** Puts a run that waited for a decision back to work: whoever looks for abandoned runs takes it. */
export const requeue = (db: Db, reach: Reach, id: string) =>
  db
    .update(runs)
    .set({ status: 'running', leaseUntil: sql`now()` })
    .where(and(within(reach, id), eq(runs.status, 'needs_reconcile')))
    .returning({ id: runs.id })

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
