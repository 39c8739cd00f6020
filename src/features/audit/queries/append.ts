import { type SQL, sql } from 'drizzle-orm'
import { bareArray } from '~/platform/bare-array'
import type { Db, Send } from '~/platform/db'
import { momentOf } from '~/platform/keyset'
import type { Head, Link } from '../chain'

/** An audit row of the outbox that waits to be written. */
export interface DueRow {
  id: string
  payload: unknown
}

/** A client, or the platform where it is null, and how many of the named entries are its own. */
export interface Concerned {
  clientId: string | null
  entries: number
}

/** Whose entries these are, as far as they stand in the outbox. */
export async function findConcerned(db: Db, ids: string[]): Promise<Concerned[]> {
  const rows = await db.execute<{ client_id: string | null; entries: number }>(sql`
    select client_id, count(*)::int4 as entries from outbox where id = any(${bareArray(ids)}::uuid[]) and kind = 'audit' group by client_id`)
  return rows.map(({ client_id, entries }) => ({ clientId: client_id, entries }))
}

/**
 * Locks what waits of these clients up to the entry `last`, the oldest of each first and `most` rows at most: entries may arrive in another order than
 * they happened, and go into the log in this one. Each row is met once, in the index that holds what waits of a client in its order.
 */
export async function lockDue(tx: Db, send: Send, clients: (string | null)[], last: string, most: number): Promise<DueRow[]> {
  // No other index has this order: while the planner's figures are from an idle hour, it would rather sort what it takes for nothing.
  await send(() => tx.execute(sql`select set_config('enable_sort', 'off', true), set_config('jit', 'off', true)`))
  const due = (whose: SQL) => sql`
    select id, payload from outbox where ${whose} and kind = 'audit' and done_at is null order by client_id, id limit ${most}::int4 for update`
  // In the same order by all workers, so that two with the same clients wait for each other instead of dead-locking.
  const named = sql`${bareArray(clients.filter((client) => client !== null).toSorted())}::uuid[]`
  const ofNamed = due(sql`(client_id, id) between (client.id, ${NO_ID}::uuid) and (client.id, ${last}::uuid)`)
  const ofClients = sql`select one.id, one.payload from unnest(${named}) as client (id) cross join lateral (${ofNamed}) as one`
  // The platform's have no client, and NULL is found by no comparison.
  const ofPlatform = sql`select id, payload from (${due(sql`client_id is null and id <= ${last}::uuid`)}) as one`
  const all = clients.includes(null) ? sql`${ofClients} union all ${ofPlatform}` : ofClients
  return tx.execute<DueRow & Record<string, unknown>>(sql`${all} limit ${most}::int4`)
}

const NO_ID = '00000000-0000-0000-0000-000000000000'

/** Those of these that a worker is done with: they are in the log, or were set aside. */
export async function findFinished(db: Db, ids: string[]): Promise<Set<string>> {
  const named = sql`any(${bareArray(ids)}::uuid[])`
  const rows = await db.execute<{ id: string }>(sql`
    select id from audit_logs where id = ${named} union all select id from outbox where id = ${named} and kind = 'audit'`)
  return new Set(rows.map(({ id }) => id))
}

/** Locks the ends of these chains, making those that are new, and says what time it is: never earlier than at the last row of any of them. */
export async function lockHeads(tx: Db, send: Send, chains: string[], genesis: Head): Promise<{ heads: Map<string, Head>; now: string }> {
  // In the same order by all workers.
  const ordered = sql`${bareArray(chains.toSorted())}::uuid[]`
  await send(() =>
    tx.execute(sql`
      insert into audit_chains (id, seq, hash, recorded_at, base_seq, base_hash)
      select id, ${genesis.seq}, decode(${genesis.hash}, 'hex'), '-infinity', ${genesis.seq}, decode(${genesis.hash}, 'hex')
      from unnest(${ordered}) as id
      on conflict do nothing`),
  )
  const rows = await tx.execute<{ id: string; seq: number; hash: string; now: string }>(sql`
    with locked as (
      select id, seq, hash, recorded_at from audit_chains where id = any(${ordered}) order by id for update
    )
    select id, seq::int8 as seq, encode(hash, 'hex') as hash,
      ${momentOf(sql`greatest(clock_timestamp(), (select max(recorded_at) from locked))`)} as now
    from locked`)
  return { heads: new Map(rows.map(({ id, seq, hash }) => [id, { seq, hash }])), now: rows[0]?.now ?? '' }
}

/**
 * Moves rows of the outbox, which the caller has locked, into the log, as links of chains that are locked too. What a payload says goes from table to
 * table; it was checked by `parseEntry`, so every cast succeeds. Reading many ids and hashes is what costs: ids of chains are sent once each, and salts
 * and hashes as one piece, cut by the place of the link.
 */
export function moveToLog(tx: Db, links: Link[], recordedAt: string) {
  const chains = [...new Set(links.map(({ chain_id }) => chain_id))]
  const numbers = new Map(chains.map((chain, index) => [chain, index + 1]))
  const bytes = links.map(({ salt, personal_hash, prev_hash, hash }) => `${salt}${personal_hash}${prev_hash}${hash}`).join('')
  const of = (pick: (link: Link) => string | number) => bareArray(links.map(pick))
  return tx.execute(sql`
    with moved as (
      delete from outbox using unnest(
        ${of(({ id }) => id)}::uuid[], ${of(({ chain_id }) => numbers.get(chain_id) ?? 0)}::int4[], ${of(({ seq }) => seq)}::int8[]
      ) with ordinality as link (id, chain, seq, place)
      where outbox.id = link.id
      returning link.*, payload as said
    ), given as materialized (
      select ${bareArray(chains)}::uuid[] as chains, decode(${bytes}, 'hex') as bytes
    ), linked as (
      select moved.id, chains[chain] as chain_id, seq, said, bytes, 112 * (place::int4 - 1) as at from moved cross join given
    )
    insert into audit_logs (id, chain_id, seq, client_id, user_id, actor_user_id, action, resource_type, trace_id, created_at, recorded_at,
      resource_id, details, ip_address, user_agent, salt, personal_hash, prev_hash, hash)
    select id, chain_id, seq, case when said->>'client_id' is not null then chain_id end, (said->>'user_id')::uuid,
      (said->>'actor_user_id')::uuid, said->>'action', said->>'resource_type', said->>'trace_id', (said->>'created_at')::timestamptz,
      ${recordedAt}::timestamptz, said->>'resource_id', nullif(said->'details', 'null'), said->>'ip_address', said->>'user_agent',
      substr(bytes, at + 1, 16), substr(bytes, at + 17, 32), substr(bytes, at + 49, 32), substr(bytes, at + 81, 32)
    from linked`)
}

/** Moves the ends of chains to these links. */
export function moveHeads(tx: Db, ends: Link[]) {
  return tx.execute(sql`
    update audit_chains set seq = end_.seq, hash = decode(end_.hash, 'hex'), recorded_at = end_.recorded_at
    from jsonb_to_recordset(${JSON.stringify(ends.map(({ chain_id: id, seq, hash, recorded_at }) => ({ id, seq, hash, recorded_at })))}::jsonb)
      as end_ (id uuid, seq bigint, hash text, recorded_at timestamptz)
    where audit_chains.id = end_.id`)
}
