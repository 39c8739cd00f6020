import type postgres from 'postgres'
import { chainOf, GENESIS, type Head, linkEntry } from '~/features/audit/chain'
import { parseEntry } from '~/features/audit/entry'

/** What the audit worker works with, for itself. */
export async function makeChainedTables(sql: postgres.Sql) {
  await sql`create table floor_outbox (like outbox including all)`
  await sql`create table floor_chains (like audit_chains including all)`
  await sql`create table floor_chained_logs (like audit_logs including all)`
}

/** All that the audit worker does about an entry, in a transaction of its own. Nobody else does the same meanwhile, so nothing is looked up but the row. */
export const writeOne = (sql: postgres.Sql, id: string) =>
  sql.begin(async (tx) => {
    const [row] = await tx<{ payload: unknown }[]>`select payload from floor_outbox where id = ${id} for update`
    const entry = parseEntry(id, row?.payload)
    if (entry === undefined) throw new Error('no such entry was given')
    const chain = chainOf(entry.client_id)
    const [at] = await tx<(Head & { now: string })[]>`
      insert into floor_chains (id, seq, hash, recorded_at, base_seq, base_hash)
      values (${chain}, 0, decode(${GENESIS.hash}, 'hex'), '-infinity', 0, decode(${GENESIS.hash}, 'hex'))
      on conflict (id) do update set id = excluded.id
      returning seq::int4 as seq, encode(hash, 'hex') as hash,
        to_char(greatest(clock_timestamp(), recorded_at) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as now`
    const { now, ...head } = at ?? { ...GENESIS, now: '' }
    const link = linkEntry(entry, head, now)
    const bytes = (hex: string) => Buffer.from(hex, 'hex')
    await tx`
      insert into floor_chained_logs (id, chain_id, seq, client_id, user_id, actor_user_id, action, resource_type, trace_id, created_at, recorded_at,
        resource_id, details, ip_address, user_agent, salt, personal_hash, prev_hash, hash)
      values (${id}, ${chain}, ${link.seq}, ${link.client_id}, ${link.user_id}, ${link.actor_user_id}, ${link.action}, ${link.resource_type},
        ${link.trace_id}, ${link.created_at}, ${now}, ${link.resource_id}, ${JSON.stringify(link.details)}::text::jsonb, ${link.ip_address},
        ${link.user_agent}, ${bytes(link.salt)}, ${bytes(link.personal_hash)}, ${bytes(link.prev_hash)}, ${bytes(link.hash)})`
    await tx`update floor_chains set seq = ${link.seq}, hash = ${bytes(link.hash)}, recorded_at = ${now} where id = ${chain}`
    await tx`delete from floor_outbox where id = ${id}`
  })
