import type { Db } from '~/platform/db'
import { keepSweeping } from '~/platform/keep-sweeping'
import type { Log } from '~/platform/log'
import type { Objects } from './objects'
import { listDoomed, putOffObject, spareObjects } from './queries'

const PAUSE_MS = 30_000
const BATCH = 100
/** Behind all others: what the store does not let go holds nothing up. */
const AGAIN_AFTER_SECONDS = 3600
/** After as many the store itself is taken to be away, and the rest of the round waits. */
const MOST_FAILURES = 3

/** Removes the objects of deleted files, and those whose file was never committed. Removing one twice does no harm. */
export const createObjectRemover = ({ db, objects, log }: { db: Db; objects: Objects; log: Log }) => ({
  /** @throws Error that tells how many the store refused, once the others are done */
  async sweep(): Promise<number> {
    const keys = await listDoomed(db, BATCH)
    const failures: unknown[] = []
    for (const key of keys) {
      const failure = await objects.remove(key).then(
        () => undefined,
        (error: unknown) => error,
      )
      if (failure === undefined) await spareObjects(db, [key])
      else {
        failures.push(failure)
        await putOffObject(db, key, AGAIN_AFTER_SECONDS)
      }
      if (failures.length === MOST_FAILURES) break
    }
    if (failures.length > 0) throw new Error(`${failures.length} objects were not removed`, { cause: failures[0] })
    return keys.length
  },

  run(signal: AbortSignal): Promise<void> {
    return keepSweeping(() => this.sweep(), signal, {
      batch: BATCH,
      pauseMs: PAUSE_MS,
      failed: (error) => log.warn('objects of deleted files are left for later', { error }),
    })
  },
})
