import { sql } from 'drizzle-orm'
import type { Db } from './db'
import { idempotencyKeys } from './idempotency-table'
import { keepSweeping } from './keep-sweeping'
import type { Log } from './log'

/** A request that comes again by its key is known for so long. */
export const KEPT_DAYS = 7
const BATCH = 5000
const PAUSE_MS = 600_000

/** Forgets old Idempotency-Keys with their answers. Several may run at once. */
export const createIdempotencyUpkeep = ({ db, log }: { db: Db; log: Log }) => ({
  async sweep(): Promise<number> {
    const { count } = await db.execute(sql`
      delete from ${idempotencyKeys} where ctid = any(array(
        select ctid from ${idempotencyKeys} where created_at < now() - make_interval(days => ${KEPT_DAYS}::int)
        order by created_at limit ${BATCH}::int for update skip locked))`)
    return count
  },

  /** Sweeps until `signal` aborts. */
  run(signal: AbortSignal): Promise<void> {
    return keepSweeping(() => this.sweep(), signal, {
      batch: BATCH,
      pauseMs: PAUSE_MS,
      failed: (error) => log.warn('old Idempotency-Keys are left for later', { error }),
    })
  },
})
