import type { Db } from '~/platform/db'
import { keepSweeping } from '~/platform/keep-sweeping'
import type { Log } from '~/platform/log'
import type { Objects } from './objects'
import { listDoomed, spareObjects } from './queries'

const PAUSE_MS = 30_000
const BATCH = 100

/** Removes the objects of deleted files, and those whose file was never committed. Removing one twice does no harm. */
export const createObjectRemover = ({ db, objects, log }: { db: Db; objects: Objects; log: Log }) => ({
  async sweep(): Promise<number> {
    const keys = await listDoomed(db, BATCH)
    for (const key of keys) {
      await objects.remove(key)
      await spareObjects(db, [key])
    }
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
