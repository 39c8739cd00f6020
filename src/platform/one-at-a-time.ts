import { sql } from 'drizzle-orm'
import type { Db } from './db'

/**
 * Of transactions that name the same thing one goes on at a time, on all replicas; the others wait here until it has ended.
 * What is then counted or looked for by the next statement is what stays: taken before it, so that a limit holds for parallel requests too.
 */
export const oneAtATime = (tx: Db, what: string, id: string) =>
  tx.execute(sql`select pg_advisory_xact_lock(hashtext(${what}), hashtext(${id}))`)
