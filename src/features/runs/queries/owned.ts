import { type SQLWrapper, sql } from 'drizzle-orm'
import { agents } from '~/features/agents/table'
import type { RunInput } from '~/runtime/types'
import { runs } from '../table'

/**
 * What a run brings along. `none`: it was just accepted, here. `whole`: what there is of it stands in PostgreSQL. `cut-off`: it was being executed, and
 * nobody said so; the end of its log may be in Redis alone.
 */
export type RunPast = 'none' | 'whole' | 'cut-off'

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
  /** Time that it had left when it was read, by the database's clock: our own may be wrong. */
  restMs: number
  past: RunPast
}

/** Until its deadline. */
export const restMs = () => sql<number>`(extract(epoch from ${runs.deadlineAt} - now()) * 1000)::float8`

/** Seconds that an agent gives its runs; null where its config does not say. */
export const ownSeconds = (clientId: SQLWrapper, agentId: SQLWrapper) => sql<number | null>`(
  select least(greatest((a.config->>'run_timeout_seconds')::float8, 1), ${sql.raw(String(MAX_SECONDS))}) from ${agents} a
  where a.client_id = ${clientId} and a.id = ${agentId} and jsonb_typeof(a.config->'run_timeout_seconds') = 'number'
)`

/** A week. What was not saved by us may say anything. */
const MAX_SECONDS = 604_800

export const owned = {
  id: runs.id,
  clientId: runs.clientId,
  agentId: runs.agentId,
  sessionId: runs.sessionId,
  leaseToken: runs.leaseToken,
  input: runs.input,
  traceId: runs.traceId,
  createdAt: runs.createdAt,
  restMs: restMs(),
}

export const ours = ({ id, leaseToken }: { id: string | SQLWrapper; leaseToken: number | SQLWrapper }) =>
  sql`${runs.id} = ${id} and ${runs.leaseToken} = ${leaseToken} and ${runs.finishedAt} is null`

/** The same in a statement that is built once: `ownedBy` has the values. */
export const oursToBe = () => ours({ id: sql.placeholder('run'), leaseToken: sql.placeholder('leaseToken') })

export const ownedBy = ({ id, leaseToken }: OwnedRun) => ({ run: id, leaseToken })

/** For a placeholder that is cast to jsonb by way of text. */
export const jsonOrNull = (value: unknown): string | null => (value === undefined || value === null ? null : jsonText(value))

export const jsonPlaceholder = (name: string) => sql`${sql.placeholder(name)}::text::jsonb`

export const asJson = (value: unknown) => (value === undefined || value === null ? sql`null::jsonb` : sql`${jsonText(value)}::text::jsonb`)

export const jsonText = (value: unknown): string => storable(JSON.stringify(value))

/** jsonb takes neither NUL nor lone surrogates, and a tool may answer with both. JSON.stringify writes them as escapes, and whole pairs as they are. */
const storable = (json: string) =>
  json.includes('\\u') ? json.replace(/(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/gi, '$1\ufffd') : json
