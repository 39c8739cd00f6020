import { systemClock } from '~/platform/clock'
import type { Log } from '~/platform/log'
import { isPassing } from '~/platform/passing-failure'
import { patiently } from '~/platform/patience'
import { RunTakenOver } from './live-log'
import type { OwnedRun } from './queries/owned'

/** Longer than a fail-over takes. After it the run is left to whoever takes over its lease. */
const PATIENCE_MS = 60_000

/** Carries out a write of a run that is fenced by its lease token, and tells whether the run is still ours. */
export type Persist = (write: () => Promise<boolean>) => Promise<void>

/**
 * A database that is away for a moment does not end a run: the write is tried again, so it must be one that may be done twice.
 * Whoever took the run over meanwhile is noticed by the fence. Gives up when `signal` aborts.
 * @throws RunTakenOver
 */
export function createPersist({
  run,
  log,
  signal,
  committed,
}: {
  run: OwnedRun
  log: Log
  signal: AbortSignal
  /** Of a run that is executed beside its own COMMIT: nothing is written before. */
  committed?: Promise<void> | undefined
}): Persist {
  const onFirst = (error: unknown) => log.warn('the database is away, a run waits', { run_id: run.id, error })
  return async (write) => {
    await committed
    const isOurs = await write().catch((error) => {
      if (!isPassing(error)) throw error
      return patiently(write, { clock: systemClock, signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]), onFirst })
    })
    if (!isOurs) throw new RunTakenOver(run.id)
  }
}
