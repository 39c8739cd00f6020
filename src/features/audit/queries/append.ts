import { sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import { momentOf } from '~/platform/keyset'
import type { Entry, Head, Link } from '../chain'

export interface DueRow {
  id: string
  payload: unknown
  done: boolean
}

/**
 * The named audit rows of the outbox, and with them what is unfinished and older of the same clients, `alongside` at most: entries may arrive in
 * another order than they happened. Locked in the order of their ids, so that two workers with the same rows wait for each other instead of dead-locking.
 */
export async function lockDue(tx: Db, ids: string[], alongside: number): Promise<DueRow[]> {
  return tx.execute<DueRow & Record<string, unknown>>(sql`
    with named as (
      select id, client_id from outbox where id = any(${sql.param(ids)}::uuid[]) and kind = 'audit'
    ), newest as (
      select client_id, max(id::text)::uuid as id from named group by client_id
    ), older as (
      select outbox.id from newest join outbox on outbox.client_id is not distinct from newest.client_id and outbox.id < newest.id
      where outbox.kind = 'audit' and outbox.done_at is null
      order by outbox.id limit ${alongside}
    )
    select id, payload, done_at is not null as done from outbox
    where id in (select id from named union select id from older)
    order by id
    for update`)
}

/** Locks the ends of these chains, making those that are new, and says what time it is: never earlier than at the last row of any of them. */
export async function lockHeads(tx: Db, chains: string[], genesis: Head): Promise<{ heads: Map<string, Head>; now: string }> {
  const ordered = sql.param(chains.toSorted())
  await tx.execute(sql`
    insert into audit_chains (id, seq, hash, recorded_at, base_seq, base_hash)
    select id, ${genesis.seq}, decode(${genesis.hash}, 'hex'), '-infinity', ${genesis.seq}, decode(${genesis.hash}, 'hex')
    from unnest(${ordered}::uuid[]) as id
    order by id
    on conflict do nothing`)
  const rows = await tx.execute<{ id: string; seq: number; hash: string; now: string }>(sql`
    with locked as (
      select id, seq, hash, recorded_at from audit_chains where id = any(${ordered}::uuid[]) order by id for update
    )
    select id, seq::int8 as seq, encode(hash, 'hex') as hash,
      ${momentOf(sql`greatest(clock_timestamp(), (select max(recorded_at) from locked))`)} as now
    from locked`)
  return { heads: new Map(rows.map(({ id, seq, hash }) => [id, { seq, hash }])), now: rows[0]?.now ?? '' }
}

/** Writes links and moves their chains' ends, each with one statement. The chains are locked by the caller. */
export async function appendLinks(tx: Db, links: Link[]) {
  await tx.execute(sql`
    insert into audit_logs (id, chain_id, seq, client_id, user_id, actor_user_id, action, resource_type, trace_id, created_at, recorded_at,
      resource_id, details, ip_address, user_agent, salt, personal_hash, prev_hash, hash)
    select id, chain_id, seq, client_id, user_id, actor_user_id, action, resource_type, trace_id, created_at, recorded_at,
      resource_id, nullif(details, 'null'), ip_address, user_agent, decode(salt, 'hex'), decode(personal_hash, 'hex'),
      decode(prev_hash, 'hex'), decode(hash, 'hex')
    from jsonb_to_recordset(${JSON.stringify(links)}::jsonb) as link (id uuid, chain_id uuid, seq bigint, client_id uuid, user_id uuid,
      actor_user_id uuid, action text, resource_type text, trace_id text, created_at timestamptz, recorded_at timestamptz,
      resource_id text, details jsonb, ip_address text, user_agent text, salt text, personal_hash text, prev_hash text, hash text)`)
  const ends = new Map(links.map(({ chain_id: id, seq, hash, recorded_at }) => [id, { id, seq, hash, recorded_at }]))
  await tx.execute(sql`
    update audit_chains set seq = end_.seq, hash = decode(end_.hash, 'hex'), recorded_at = end_.recorded_at
    from jsonb_to_recordset(${JSON.stringify([...ends.values()])}::jsonb) as end_ (id uuid, seq bigint, hash text, recorded_at timestamptz)
    where audit_chains.id = end_.id`)
}

export async function finishEntries(tx: Db, entries: Pick<Entry, 'id'>[]) {
  await tx.execute(sql`update outbox set done_at = clock_timestamp() where id = any(${sql.param(entries.map(({ id }) => id))}::uuid[])`)
}
