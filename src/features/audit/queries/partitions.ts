import { sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'

/** Any constant: two workers that look after the partitions wait for each other. */
const ADVISORY_LOCK = 0x65766f61
/** Writers are not held up for longer; the next round tries again. */
const LOCK_TIMEOUT = "set local lock_timeout = '2s'"

/** `audit_logs_2026_01` */
const nameOf = (month: string) => `audit_logs_${month.replace('-', '_')}`
const MONTH = /^\d{4}-\d{2}$/

/** The month `count` months after `2026-01`, or before it. */
export const monthAfter = (month: string, count: number): string => {
  const [year = 0, number = 1] = month.split('-').map(Number)
  return new Date(Date.UTC(year, number - 1 + count, 1)).toISOString().slice(0, 7)
}

/** The database's month: one clock for all workers. */
export async function currentMonth(db: Db): Promise<string> {
  const [row] = await db.execute<{ month: string }>(sql`select to_char(now() at time zone 'UTC', 'YYYY-MM') as month`)
  return row?.month ?? ''
}

/** The months that have a partition, oldest first. */
export async function listMonths(db: Db): Promise<string[]> {
  const rows = await db.execute<{ name: string }>(sql`
    select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'audit_logs'::regclass order by c.relname`)
  return rows.map(({ name }) => name.slice('audit_logs_'.length).replace('_', '-')).filter((month) => MONTH.test(month))
}

/** Attached, not created in place: that would lock out readers and writers of the whole log. */
export async function makePartition(tx: Db, month: string) {
  await tx.execute(LOCK_TIMEOUT)
  await tx.execute(sql`select pg_advisory_xact_lock(${ADVISORY_LOCK})`)
  if ((await listMonths(tx)).includes(month)) return
  const next = monthAfter(month, 1)
  const table = sql.identifier(nameOf(month))
  await tx.execute(sql`create table ${table} (like audit_logs including defaults including constraints)`)
  await tx.execute(
    sql`alter table audit_logs attach partition ${table} for values from (${sql.raw(`'${month}-01 00:00:00Z'`)}) to (${sql.raw(`'${next}-01 00:00:00Z'`)})`,
  )
}

/**
 * Drops the oldest month; what precedes the rows that are left is kept with each chain, so that they can still be verified. False when it was not the
 * oldest: months go in their order, or a chain would have a gap.
 */
export async function dropPartition(tx: Db, month: string): Promise<boolean> {
  await tx.execute(LOCK_TIMEOUT)
  await tx.execute(sql`select pg_advisory_xact_lock(${ADVISORY_LOCK})`)
  if ((await listMonths(tx))[0] !== month) return false
  const table = sql.identifier(nameOf(month))
  await tx.execute(sql`
    update audit_chains set base_seq = last.seq, base_hash = last.hash
    from audit_chains chain cross join lateral (
      select seq, hash from ${table} where chain_id = chain.id order by seq desc limit 1
    ) last
    where audit_chains.id = chain.id`)
  await tx.execute(sql`alter table audit_logs detach partition ${table}`)
  await tx.execute(sql`drop table ${table}`)
  return true
}
