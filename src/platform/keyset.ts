import { type Placeholder, type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Db } from './db'

/** Where a page of a list ends: what its last item is ordered by, as text (a moment with its microseconds), and that item's id. */
export interface Position {
  at: string
  id: string
}

/** One page of a list: how many items there are in all, and where this page ends. */
export interface Listed<Item> {
  items: Item[]
  total: number
  last: Position | undefined
}

/** The same of a list that may be too long to be counted. */
export type PartlyListed<Item> = Omit<Listed<Item>, 'total'> & { total: number | undefined }

/** A list that grows without end is counted up to here: asking for a page of it must not take longer and longer. */
export const MOST_COUNTED = 100_000

/** How many rows a statement finds; undefined for more than are counted. */
export async function countSome(db: Db, rows: SQL): Promise<number | undefined> {
  const [found] = await db.execute<{ total: number }>(
    sql`select count(*)::int4 as total from (${rows} limit ${MOST_COUNTED + 1}::int4) as counted`,
  )
  return found === undefined || found.total > MOST_COUNTED ? undefined : found.total
}

/** A moment whole: a Date would lose the microseconds that tell two rows apart. */
export const momentOf = (timestamp: SQLWrapper) => sql<string>`to_char(${timestamp} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`

/** Whether `momentOf` may have written it: the day exists, too. */
export function isMoment(text: string): boolean {
  const date = new Date(text)
  return MOMENT.test(text) && !Number.isNaN(date.getTime()) && date.toISOString().slice(0, 19) === text.slice(0, 19)
}

const MOMENT = /^(?!0000)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/

interface Order {
  by: PgColumn
  id: PgColumn
  descending?: boolean
  /** Where ids run the other way. */
  idsAscend?: boolean
}

/**
 * What stands behind a position in a list of that order. It does not matter whether the item is still there, so a list that is read page by page
 * neither repeats nor leaves out what was there all along.
 */
export function behind(after: Position | Record<keyof Position, Placeholder> | undefined, order: Order): SQL | undefined {
  if (after === undefined) return undefined
  const { by, id, descending = false, idsAscend = !descending } = order
  const [value, last] = [typed(after.at, by), typed(after.id, id)]
  const beyond = sql.raw(descending ? '<' : '>')
  if (idsAscend !== descending) return sql`(${by}, ${id}) ${beyond} (${value}, ${last})`
  return sql`(${by} ${beyond} ${value} or (${by} = ${value} and ${id} ${sql.raw(idsAscend ? '>' : '<')} ${last}))`
}

const typed = (value: string | Placeholder, column: PgColumn) => sql`cast(${value} as ${sql.raw(column.getSQLType())})`

/** Where a page ends: nowhere, if it was not full. */
export function endOf(rows: Position[], limit: number): Position | undefined {
  const end = rows.length === limit ? rows.at(-1) : undefined
  return end && { at: end.at, id: end.id }
}

/** The rows of a page without what they are ordered by, and where the page ends. */
export function pageFrom<Row extends Position>(rows: Row[], limit: number): { items: Omit<Row, 'at'>[]; last: Position | undefined } {
  return { items: rows.map(({ at: _, ...row }) => row), last: endOf(rows, limit) }
}
