import { sql } from 'drizzle-orm'
import type { Db } from '../db'

/**
 * Holds an outbox row until the transaction ends: whoever decides about its work comes here first. Decide by what later statements read. A statement
 * that waits for the row and joins others to it sees the row as it became, but the others as they were before the wait.
 */
export const lockOutbox = (tx: Db, id: string) => tx.execute(sql`select from outbox where id = ${id} for update`)
