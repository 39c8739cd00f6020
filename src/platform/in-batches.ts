import type { SQL } from 'drizzle-orm'
import type { Db } from './db'

const BATCH = 100

/**
 * Repeats a statement that takes up to `limit` rows, which are none of its own afterwards, until it finds fewer: how many there are must not decide whether
 * a statement ends in time. For a transaction.
 */
export async function inBatches(tx: Db, statement: (limit: number) => SQL): Promise<void> {
  for (let done = BATCH; done === BATCH; ) done = (await tx.execute(statement(BATCH))).count
}
