import { inArray } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import type { Db } from '~/platform/db'
import type { Secrets } from '~/platform/secrets'
import type { ImportReport } from './report'

/** What one page of rows is brought into. */
export interface World {
  tx: Db
  secrets: Secrets
  /** The old server's encryption key, newest first; empty when it is not known. */
  oldKeys: string[]
  report: ImportReport
}

/** Rows that an earlier import has brought are left as they are now: somebody may have changed them since. */
export async function onlyNew<Row extends { id: string }>(
  { tx, report }: World,
  name: Parameters<ImportReport['present']>[0],
  table: PgTable & { id: PgColumn },
  rows: Row[],
): Promise<Row[]> {
  const present = await idsOf(
    tx,
    table,
    rows.map(({ id }) => id),
  )
  const fresh = rows.filter(({ id }) => !present.has(id))
  report.present(name, rows.length - fresh.length)
  return fresh
}

export async function idsOf(tx: Db, table: PgTable & { id: PgColumn }, ids: string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set()
  const rows = await tx.select({ id: table.id }).from(table).where(inArray(table.id, ids))
  return new Set(rows.map(({ id }) => String(id)))
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
export const isUuid = (text: string) => UUID.test(text)

export const asObject = (value: unknown): Record<string, unknown> =>
  // The check is what makes it one.
  value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Record<string, unknown>) : {}

export const cut = (text: string, length: number) => (text.length > length ? text.slice(0, length) : text)
