import { asc, eq, type SQL, sql } from 'drizzle-orm'
import { events, sessions } from '~/features/sessions/table'
import { sqlOnce } from '~/platform/built-once'
import type { Db } from '~/platform/db'
import type { AgentEvent } from '~/runtime/types'
import type { LogEvent } from '../log-event'
import { runEvents, runs } from '../table'
import { jsonOrNull, jsonPlaceholder, jsonText, type OwnedRun, ours, oursToBe, ownedBy } from './owned'

/**
 * The user's own message is the turn's event number 0. It is stored when the run runs, behind what an earlier turn still had to say; once only. Sent when
 * called.
 */
export const insertUserEvent = (db: Db, { id, content, actions }: { id: string } & Pick<AgentEvent, 'content' | 'actions'>) =>
  userEvent(db, { id: Bun.randomUUIDv7(), run: id, content: jsonText(content), actions: jsonText(actions ?? {}) })

const userEvent = sqlOnce(
  () => sql`
    insert into ${events} (id, client_id, session_id, run_id, ordinal, author, content, actions)
    select ${sql.placeholder('id')}, client_id, session_id, id, 0, 'user', ${sql.placeholder('content')}::text::jsonb,
      ${sql.placeholder('actions')}::text::jsonb
    from ${runs} where id = ${sql.placeholder('run')} and status = 'running'
    on conflict (run_id, ordinal) do nothing`,
)

/** Stores a whole event together with the log entries up to the one that shows it. Done twice, it changes nothing. */
export async function saveEvent(
  db: Db,
  run: OwnedRun,
  { id, ordinal, event, entries }: { id: string; ordinal: number; event: AgentEvent; entries: LogEvent[] },
): Promise<boolean> {
  const { author, content, actions, branch = null } = event
  const stored = { id, ordinal, author, content: jsonOrNull(content), actions: jsonText(actions ?? {}), branch }
  const values = { ...ownedBy(run), ...logOf(entries), ...stored }
  const delta = actions?.state_delta
  const rows =
    delta === undefined
      ? await eventAlone(db, values)
      : await eventWithState(db, { ...values, delta: jsonOrNull(delta), session: run.sessionId, client: run.clientId })
  return rows.length > 0
}

const storedEvent = (changesState: boolean) =>
  sqlOnce(
    () => sql`
    with logged as (${insertLog()} returning 1),
    stored as (
      insert into ${events} (id, client_id, session_id, run_id, ordinal, author, content, actions, branch)
      select ${sql.placeholder('id')}, client_id, session_id, id, ${sql.placeholder('ordinal')}, ${sql.placeholder('author')},
        ${jsonPlaceholder('content')}, ${jsonPlaceholder('actions')}, ${sql.placeholder('branch')}
      from ${runs} where ${oursToBe()}
      on conflict (id) do update set ordinal = excluded.ordinal returning 1
    )${changesState ? sql`, changed as (${changeState()} returning 1)` : sql``}
    select 1 from logged, stored`,
  )

/** The session's state as its events change it. Done twice, it changes nothing. */
const changeState = () => sql`
  update ${sessions} set state = state || ${jsonPlaceholder('delta')}
  where id = ${sql.placeholder('session')} and client_id = ${sql.placeholder('client')} and exists (select 1 from stored)`

const eventAlone = storedEvent(false)
const eventWithState = storedEvent(true)

/** For a statement that is built once: `logOf` and `ownedBy` have its values. */
export const insertLog = () =>
  insertChunks(sql`
    select id, ${sql.placeholder('firstSeq')}::bigint, ${sql.placeholder('lastSeq')}::bigint, client_id, ${jsonPlaceholder('entries')}
    from ${runs} where ${oursToBe()}`)

/** Done twice, it changes nothing. */
const insertChunks = (chunks: SQL) => sql`
  insert into ${runEvents} (run_id, first_seq, last_seq, client_id, events) ${chunks}
  on conflict (run_id, first_seq) do update set last_seq = excluded.last_seq, events = excluded.events`

export const logOf = (entries: LogEvent[]) => ({ ...spanOf(entries), entries: jsonText(entries) })

const spanOf = (entries: LogEvent[]) => ({ firstSeq: entries[0]?.seq ?? 0, lastSeq: entries.at(-1)?.seq ?? 0 })

/** Consecutive entries of one run's log. */
export interface LogChunk {
  run: OwnedRun
  entries: LogEvent[]
}

/** Appends chunks to the logs of different runs of one client, and says of each whether the run was still ours. Done twice, it changes nothing. */
export async function saveLogs(db: Db, chunks: LogChunk[]): Promise<boolean[]> {
  const values = chunks.map(({ run, entries }) => ({ ...ownedBy(run), ...spanOf(entries), entries }))
  const rows = await insertedLogs(db, { chunks: jsonText(values) })
  const saved = new Set(rows.map(({ id }) => id))
  return chunks.map(({ run }) => saved.has(run.id))
}

const insertedLogs = sqlOnce<{ id: string }>(
  () => sql`${insertChunks(sql`
    select ${runs.id}, chunk."firstSeq", chunk."lastSeq", ${runs.clientId}, chunk.entries
    from jsonb_to_recordset(${jsonPlaceholder('chunks')})
      as chunk (run uuid, "leaseToken" bigint, "firstSeq" bigint, "lastSeq" bigint, entries jsonb)
    join ${runs} on ${ours({ id: sql`chunk.run`, leaseToken: sql`chunk."leaseToken"` })}`)}
    returning run_id as id`,
)

/** A run's entries behind `after`. Where there are none, `last` is the last of all: it tells whether the log is over. A run that was deleted `isGone`. */
export async function readLog(db: Db, runId: string, { after, limit }: { after: number; limit: number }) {
  const ofRun = sql`${runEvents.runId} = ${runId}`
  const isBehind = sql`${runEvents.lastSeq} > ${after}`
  const chunks = await db
    // Followers that have seen it all ask every second: for them one entry will do.
    .select({
      events: sql<
        LogEvent[] | null
      >`case when ${isBehind} then events when ${runEvents.events} is not null then jsonb_build_array(events -> -1) end`,
    })
    .from(runs)
    .leftJoin(
      runEvents,
      sql`${ofRun} and (${isBehind} or ${runEvents.firstSeq} = (select max(first_seq) from ${runEvents} where ${ofRun}))`,
    )
    .where(eq(runs.id, runId))
    .orderBy(asc(runEvents.firstSeq))
    .limit(limit)
  const entries = chunks.flatMap(({ events }) => events ?? [])
  return { behind: entries.filter(({ seq }) => seq > after), last: entries.at(-1), isGone: chunks.length === 0 }
}

export async function findLastSeq(db: Db, runId: string): Promise<number> {
  const [row] = await db
    .select({ last: sql<number>`coalesce(max(${runEvents.lastSeq}), 0)::int` })
    .from(runEvents)
    .where(eq(runEvents.runId, runId))
  return row?.last ?? 0
}

/** The agent's events of this run that are stored, and how many: a repeated execution does not store them again. */
export async function listStoredEvents(db: Db, runId: string): Promise<{ ids: Set<string>; last: number }> {
  const rows = await db.select({ id: events.id, ordinal: events.ordinal }).from(events).where(eq(events.runId, runId))
  return { ids: new Set(rows.map(({ id }) => id)), last: Math.max(0, ...rows.map(({ ordinal }) => ordinal ?? 0)) }
}

export interface EventSearch {
  clientId: string
  agentId: string
  sessionId: string
  /** Not what this one said. */
  runId: string
  query: string
  limit: number
}
type FoundEvent = { author: string; text: string; at: string }

/** What the contact said and was told in this and earlier conversations with the agent, as far as it has to do with the query; best first. */
export const searchEvents = async (db: Db, search: EventSearch): Promise<FoundEvent[]> => [...(await db.execute<FoundEvent>(found(search)))]

/**
 * This session and those of its contact are looked up each by its own index: asked for in one condition, all sessions of the agent are gone through where
 * PostgreSQL has not counted how many there are.
 */
export const found = ({ clientId, agentId, sessionId, runId, query, limit }: EventSearch): SQL => {
  const here = (column: SQL) =>
    sql`select ${column} from ${sessions} where id = ${sessionId} and client_id = ${clientId} and agent_id = ${agentId}`
  return sql`
    with mine as (
      select id from (
        ${here(sql`id, updated_at`)}
        union
        select id, updated_at from ${sessions} where client_id = ${clientId} and agent_id = ${agentId} and contact_id = (${here(sql`contact_id`)})
      ) both_kinds order by updated_at desc limit ${MAX_SESSIONS}
    ),
    recent as (
      select e.author, e.created_at, left(array_to_string(array(select jsonb_path_query(e.content, '$.parts[*].text') #>> '{}'), ' '), ${MAX_TEXT}) as text
      from ${events} e where e.client_id = ${clientId} and e.session_id in (select id from mine) and e.run_id is distinct from ${runId}
      order by e.position desc limit ${MAX_SEARCHED}
    ),
    wanted as (select replace(plainto_tsquery('simple', ${query})::text, ' & ', ' | ')::tsquery as words)
    select author, left(text, 2000) as text, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as at
    from recent, wanted where to_tsvector('simple', text) @@ words
    order by ts_rank(to_tsvector('simple', text), words) desc, created_at desc limit ${limit}`
}

/** What a search looks through, newest first. */
const MAX_SESSIONS = 100
const MAX_SEARCHED = 2000
const MAX_TEXT = 20_000
