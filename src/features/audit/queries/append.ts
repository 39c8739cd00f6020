import { sql } from 'drizzle-orm'
import { bareArray } from '~/platform/bare-array'
import type { Db, Send } from '~/platform/db'
import { momentOf } from '~/platform/keyset'
import type { Head, Link } from '../chain'

export interface DueRow {
  id: string
  payload: unknown
  done: boolean
}

/** The clients of which a transaction takes care: every `of`th. */
export interface Lane {
  number: number
  of: number
}

/**
 * The named audit rows of the outbox, and with them what is unfinished and older of the same clients, `alongside` at most: entries may arrive in
 * another order than they happened. Locked in the order of their ids, so that two workers with the same rows wait for each other instead of dead-locking.
 */
export async function lockDue(tx: Db, ids: string[], { number, of }: Lane, alongside: number): Promise<DueRow[]> {
  // The platform's, which have no client, are the first lane's.
  const inLane = sql`coalesce(get_byte(uuid_send(client_id), 15), 0) % ${of}::int4 = ${number}::int4`
  // The named ones are among the older ones; the platform's have no client, and NULL finds no index entry by being equal.
  const older = sql`kind = 'audit' and done_at is null and id < ${ids.toSorted().at(-1) ?? null}::uuid`
  const most = ids.length + alongside
  // Asked by id alone: with more, an index of all that is unfinished looks shorter while the planner's figures are from an idle hour.
  return tx.execute<DueRow & Record<string, unknown>>(sql`
    with named as materialized (
      select ${bareArray(ids)}::uuid[] as ids
    ), concerned as materialized (
      select distinct client_id from outbox where id = any((select ids from named)::uuid[]) and ${inLane}
    ), older as (
      select one.id from concerned cross join lateral (
        select id from outbox where client_id = concerned.client_id and ${older} order by id limit ${most}
      ) one
      union all (
        select id from outbox where client_id is null and ${older} and exists (select from concerned where client_id is null)
        order by id limit ${most}
      )
    )
    select id, payload, done_at is not null as done from outbox
    where id = any((select ids from named) || array(select id from older order by id limit ${most})) and kind = 'audit' and ${inLane}
    order by id
    for update`)
}

/** Which of these stand in the log. */
export async function findRecorded(db: Db, ids: string[]): Promise<Set<string>> {
  const rows = await db.execute<{ id: string }>(sql`select id from audit_logs where id = any(${bareArray(ids)}::uuid[])`)
  return new Set(rows.map(({ id }) => id))
}

/** Locks the ends of these chains, making those that are new, and says what time it is: never earlier than at the last row of any of them. */
export async function lockHeads(tx: Db, send: Send, chains: string[], genesis: Head): Promise<{ heads: Map<string, Head>; now: string }> {
  const ordered = sql`${bareArray(chains.toSorted())}::uuid[]`
  await send(() =>
    tx.execute(sql`
      insert into audit_chains (id, seq, hash, recorded_at, base_seq, base_hash)
      select id, ${genesis.seq}, decode(${genesis.hash}, 'hex'), '-infinity', ${genesis.seq}, decode(${genesis.hash}, 'hex')
      from unnest(${ordered}) as id
      order by id
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
