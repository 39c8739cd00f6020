import { and, eq, inArray, isNull, type SQLWrapper, sql } from 'drizzle-orm'
import { agents } from '~/features/agents/table'
import { events, sessions } from '~/features/sessions/table'
import type { Reach } from '~/platform/access'
import { bareArray } from '~/platform/bare-array'
import { builtOnce, sqlOnce } from '~/platform/built-once'
import type { Db } from '~/platform/db'
import type { AgentEvent, RunInput } from '~/runtime/types'
import type { LogEvent, RunFailure } from '../log-event'
import { isOpen, type RunStatus, runs, type Waiting } from '../table'
import { insertLog, logOf } from './events'
import { jsonOrNull, jsonPlaceholder, type OwnedRun, ours, oursToBe, owned, ownedBy, ownSeconds, restMs } from './owned'

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
  /** Null: the agent's own, else the usual. */
  timeoutSeconds: number | null
  usualSeconds: number
  /** Left to whoever looks for unattended runs, instead of its owner. */
  isBackground: boolean
}

const seconds = (value: number | SQLWrapper) => sql`make_interval(secs => ${value})`
/** The session does nothing else; and of those that have not begun, nobody came before. When they came says nothing about one that has. */
const ITS_TURN = sql`not exists (
  select 1 from ${runs} other where other.client_id = ${runs.clientId} and other.session_id = ${runs.sessionId} and other.id <> ${runs.id}
  and ${isOpen(sql`other.status`)}
  and (other.status <> 'queued' or (${runs.status} = 'queued' and (other.created_at, other.id) < (${runs.createdAt}, ${runs.id})))
)`

const lockedSession = builtOnce((db) =>
  db
    .insert(sessions)
    .values({
      id: sql.placeholder('sessionId'),
      clientId: sql.placeholder('clientId'),
      agentId: sql.placeholder('agentId'),
      externalId: sql.placeholder('externalId'),
    })
    .onConflictDoUpdate({ target: sessions.id, set: { updatedAt: sql`now()` } })
    .prepare(''),
)

/** Finds or makes the session and locks it until the transaction ends: turns of one session are accepted one after the other. Sent when called. */
export const upsertSession = (db: Db, session: Pick<NewRun, 'sessionId' | 'clientId' | 'agentId' | 'externalId'>) =>
  lockedSession(db).execute(session)

const newRun = builtOnce((db, isBackground: boolean) => {
  // Not by the names of columns: in what an insert returns Drizzle leaves out whose they are.
  const [client, agent, session] = [sql.placeholder('clientId'), sql.placeholder('agentId'), sql.placeholder('sessionId')]
  const idle = sql`not exists (
    select 1 from ${runs} busy where busy.client_id = ${client} and busy.session_id = ${session} and ${isOpen(sql`busy.status`)}
  )`
  const starts = isBackground ? sql`false` : idle
  return db
    .insert(runs)
    .values({
      id: sql.placeholder('id'),
      clientId: client,
      agentId: agent,
      sessionId: session,
      status: sql`case when ${starts} then 'running' else 'queued' end`,
      onDisconnect: sql.placeholder('onDisconnect'),
      input: sql.placeholder('input'),
      caller: sql.placeholder('caller'),
      traceId: sql.placeholder('traceId'),
      leaseOwner: sql.placeholder('owner'),
      leaseToken: 1,
      leaseUntil: sql`now() + ${isBackground ? sql`interval '0'` : seconds(sql.placeholder('leaseSeconds'))}`,
      deadlineAt: sql`now() + ${seconds(sql`coalesce(${sql.placeholder('timeoutSeconds')}, ${ownSeconds(client, agent)}, ${sql.placeholder('usualSeconds')})`)}`,
      startedAt: sql`case when ${starts} then now() end`,
    })
    .returning({
      status: runs.status,
      isIdle: sql<boolean>`${idle}`,
      createdAt: runs.createdAt,
      restMs: restMs(),
      apiKeyId: sql<string | null>`(select a.api_key_id from ${agents} a where a.client_id = ${client} and a.id = ${agent})`,
      newest: sql<string | null>`(
        select e.id from ${events} e where e.client_id = ${client} and e.session_id = ${session} order by e.position desc limit 1
      )`,
    })
    .prepare('')
})

interface Inserted {
  status: RunStatus
  isIdle: boolean
  createdAt: Date
  restMs: number
  /** The provider key that its agent calls models with. */
  apiKeyId: string | null
  /** The last event of the session before it. */
  newest: string | null
}

/** Starts at once if the session is idle and it is not one of the background, else waits for its turn. Needs the session's lock. Sent when called. */
export async function insertRun(db: Db, run: NewRun): Promise<Inserted> {
  const [inserted] = await newRun(db, run.isBackground).execute({ ...run })
  // An insert of one row returns one.
  return inserted as NonNullable<typeof inserted>
}

const activeRuns = sqlOnce<{ active: number }>(
  () => sql`select evo_count_runs_to_add(${sql.placeholder('clientId')}::uuid, ${sql.placeholder('most')}::int) as active`,
)

/** Exact for whoever adds a run to fewer than `most` in the same transaction: near the limit others wait for its end. Sent when called. */
export async function countRunsToAdd(tx: Db, clientId: string, most: number): Promise<number> {
  const [row] = await activeRuns(tx, { clientId, most })
  return row?.active ?? 0
}

/** In what an update returns: cut off is what was running, and not given up by its owner. A subquery sees the row as it was before; Drizzle would write `runs.id` bare. */
const PAST = sql<'whole' | 'cut-off'>`(
  select case when before.status = 'running' and before.lease_owner is not null then 'cut-off' else 'whole' end from runs before where before.id = runs.id
)`

/**
 * Takes a run whose turn it is: a queued one of our own, or any whose owner's lease has run out. Undefined when somebody else has it or the session is busy.
 * The database's clock decides, so that no replica's own can steal a lease. `isCancelled`: there is nothing left to do for it but to end it.
 */
export async function claimRun(
  db: Db,
  { id, owner, leaseSeconds }: { id: string; owner: string; leaseSeconds: number },
): Promise<{ run: OwnedRun; isCancelled: boolean } | undefined> {
  const [row] = await db
    .update(runs)
    .set({
      status: 'running',
      leaseOwner: owner,
      leaseToken: sql`${runs.leaseToken} + 1`,
      leaseUntil: sql`now() + ${seconds(leaseSeconds)}`,
      startedAt: sql`coalesce(${runs.startedAt}, now())`,
      // Waiting is not running: neither for something nor for its turn does it use up the run's time.
      deadlineAt: sql`${runs.deadlineAt} + case when ${runs.startedAt} is null then now() - ${runs.createdAt}
        else coalesce(now() - ${runs.waitingSince}, interval '0') end`,
      waitingFor: null,
      waitingSince: null,
      wakeAt: null,
    })
    .where(
      and(
        eq(runs.id, id),
        sql`((${runs.status} in ('queued', 'running') and ${runs.leaseUntil} <= now())
          or (${runs.status} = 'queued' and ${runs.leaseOwner} = ${owner})
          or (${runs.status} = 'waiting' and ${runs.wakeAt} <= now()))`,
        ITS_TURN,
      ),
    )
    .returning({ ...owned, past: PAST, cancelRequestedAt: runs.cancelRequestedAt })
  if (row === undefined) return undefined
  const { cancelRequestedAt, ...run } = row
  return { run: { ...run, input: run.input as RunInput }, isCancelled: cancelRequestedAt !== null }
}

/** Runs that nobody looks after, longest first: new ones of the background, those whose process is gone, those whose wait is over. */
export async function listUnattended(db: Db, limit: number): Promise<string[]> {
  const rows = await db.execute<{ id: string }>(sql`
    (select id, lease_until as due from ${runs} where status in ('queued', 'running') and lease_until <= now() and ${ITS_TURN} order by lease_until limit ${limit})
    union all
    (select id, wake_at as due from ${runs} where status = 'waiting' and wake_at <= now() order by wake_at limit ${limit})
    order by due limit ${limit}`)
  return rows.map(({ id }) => id)
}

/** Extends the leases that are still ours. A run that is missing from the answer has been taken over or is over. */
export const renewLeases = (db: Db, { ids, owner, leaseSeconds }: { ids: string[]; owner: string; leaseSeconds: number }) =>
  db
    .update(runs)
    .set({ leaseUntil: sql`now() + ${seconds(leaseSeconds)}` })
    .where(sql`${runs.id} = any(${bareArray(ids)}::uuid[]) and ${runs.leaseOwner} = ${owner} and ${runs.status} in ('queued', 'running')`)
    .returning({ id: runs.id, status: runs.status, leaseToken: runs.leaseToken, cancelRequestedAt: runs.cancelRequestedAt })

/** Gives up a run: whoever looks for abandoned runs takes it at once. `isWhole`: PostgreSQL has all of its log. */
export const releaseLease = (db: Db, run: OwnedRun, { isWhole }: { isWhole: boolean }) =>
  db
    .update(runs)
    .set({ leaseUntil: sql`now()`, ...(isWhole && { leaseOwner: null }) })
    .where(ours(run))

/** Gives up what a dead process held, so that others need not wait for its leases to run out. */
export const expireLeases = (db: Db, owner: string) =>
  db.update(runs).set({ leaseUntil: sql`now()` }).where(sql`${runs.leaseOwner} = ${owner} and ${runs.status} in ('queued', 'running')`)

export interface RunOutcome {
  status: RunStatus
  result?: { response: string }
  error?: RunFailure
  /** Of a run that waits. */
  waitingFor?: Waiting
  /** When it is taken up again by itself. */
  wakeAt?: Date | undefined
}

/** Ends the run, or puts it aside, together with its last log entries; false if it is not ours any more, or over already. */
export async function finishRun(
  db: Db,
  run: OwnedRun,
  { status, result, error, waitingFor, wakeAt, entries }: RunOutcome & { entries: LogEvent[] },
): Promise<boolean> {
  const rows = await finishedRun(db, {
    ...ownedBy(run),
    ...logOf(entries),
    status,
    result: jsonOrNull(result),
    error: jsonOrNull(error),
    waitingFor: jsonOrNull(waitingFor),
    wakeAt: wakeAt?.toISOString() ?? null,
  })
  return rows.length > 0
}

const finishedRun = sqlOnce(() => {
  const waitingFor = jsonPlaceholder('waitingFor')
  return sql`
    with logged as (${insertLog()} returning 1)
    update ${runs} set status = ${sql.placeholder('status')}, result = ${jsonPlaceholder('result')}, error = ${jsonPlaceholder('error')},
      finished_at = case when ${waitingFor} is null then now() end, lease_until = null, lease_owner = null,
      waiting_for = ${waitingFor}, waiting_since = case when ${waitingFor} is not null then now() end,
      wake_at = case when ${waitingFor} is not null then least(${runs.wakeAt}, ${sql.placeholder('wakeAt')}::timestamptz) end
    from logged where ${oursToBe()} returning 1 as saved`
})

const within = ({ clientId, agentId }: Reach, id: string) =>
  and(
    eq(runs.id, id),
    clientId === null ? undefined : eq(runs.clientId, clientId),
    agentId === null ? undefined : eq(runs.agentId, agentId),
  )

/**
 * The process that executes the run hears of it; one that waits is ended by whoever asks. Should they die before they have, whoever looks for unattended runs
 * finds it due.
 */
const CANCELLED = {
  cancelRequestedAt: sql`coalesce(${runs.cancelRequestedAt}, now())`,
  status: sql`case ${runs.status} when 'needs_reconcile' then 'waiting' else ${runs.status} end`,
  wakeAt: sql`case when ${runs.status} in ('waiting', 'needs_reconcile') then now() + interval '5 seconds' else ${runs.wakeAt} end`,
}

/** Asks for the end of a run. Undefined when it is over or unknown. */
export async function requestCancel(db: Db, reach: Reach, id: string): Promise<RunStatus | undefined> {
  const [row] = await db
    .update(runs)
    .set(CANCELLED)
    .where(and(within(reach, id), isNull(runs.finishedAt)))
    .returning({ status: runs.status })
  return row?.status
}

/** Asks for the end of all that a session is doing or about to do. Needs the session's lock. */
export const interruptSession = (db: Db, clientId: string, sessionId: string) =>
  db
    .update(runs)
    .set(CANCELLED)
    .where(and(eq(runs.clientId, clientId), eq(runs.sessionId, sessionId), isNull(runs.finishedAt)))
    .returning({ id: runs.id })

/** Takes a run that nobody executes at the moment, to end it or to let it go on. */
export async function takeIdle(db: Db, { id, owner }: { id: string; owner: string }): Promise<OwnedRun | undefined> {
  const [row] = await db
    .update(runs)
    .set({ leaseOwner: owner, leaseToken: sql`${runs.leaseToken} + 1` })
    .where(and(eq(runs.id, id), inArray(runs.status, ['queued', 'waiting', 'needs_reconcile'])))
    .returning(owned)
  return row === undefined ? undefined : { ...row, input: row.input as RunInput, past: 'whole' }
}
