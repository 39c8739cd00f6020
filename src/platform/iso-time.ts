import { type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'

/** A timestamp that is only shown, as JSON shows dates (ISO 8601, UTC, milliseconds). With Dates in it JSON.stringify takes three times as long. */
export const isoTime = <C extends PgColumn>(column: C) =>
  // A null is not handed to the mapping.
  sql`${column}`.mapWith(toIso) as SQL<C['_']['notNull'] extends true ? string : string | null>

/** As PostgreSQL writes nearly all of them, `2026-11-25 13:21:39.445123+00`: cut to size, which takes a quarter of the time of a Date. */
const USUAL = '2026-11-25 13:21:39.445123+00'

export const toIso = (text: string): string =>
  text.length === USUAL.length && text[10] === ' ' && text.endsWith('+00')
    ? `${text.slice(0, 10)}T${text.slice(11, 23)}Z`
    : new Date(text).toISOString()
