import { sql } from 'drizzle-orm'
import { bareArray } from '../bare-array'
import { sqlOnce } from '../built-once'
import type { Db } from '../db'

/**
 * Holds an outbox row until the transaction ends: whoever decides about its work comes here first. Decide by what later statements read. A statement
 * that waits for the row and joins others to it sees the row as it became, but the others as they were before the wait.
 */
export const lockOutbox = (tx: Db, id: string) => tx.execute(sql`select from outbox where id = ${id} for update`)

/** The same for several, in the order of their ids: two workers with the same rows wait for each other instead of dead-locking. */
export const lockOutboxRows = (tx: Db, ids: string[]) => lockRows(tx, { ids: bareArray(ids) })

const lockRows = sqlOnce(() => sql`select from outbox where id = any(${sql.placeholder('ids')}::uuid[]) order by id for update`)
