import { type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'

/** A timestamp that is only shown, as JSON shows dates (ISO 8601, UTC, milliseconds). With Dates in it JSON.stringify takes three times as long. */
export const isoTime = <C extends PgColumn>(column: C) =>
  // A null is not handed to the mapping.
  sql`${column}`.mapWith((text: string) => new Date(text).toISOString()) as SQL<C['_']['notNull'] extends true ? string : string | null>
