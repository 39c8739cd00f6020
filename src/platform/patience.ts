import type { Clock } from './clock'
import { isPassing } from './passing-failure'

export interface Pause {
  /** True before the first wait after a success: the moment to log. */
  readonly isFirst: boolean
  /** Doubles from 50 ms up to 2 s, with jitter. Ends early when the signal aborts; never rejects. */
  wait(): Promise<void>
  reset(): void
}

const LEAST_MS = 50
const MOST_MS = 2000

export function createPause(clock: Clock, signal: AbortSignal): Pause {
  let ms = 0
  return {
    get isFirst() {
      return ms === 0
    },
    async wait() {
      ms = Math.min(MOST_MS, Math.max(LEAST_MS, ms * 2))
      await clock.sleep(ms * (0.5 + Math.random() / 2), signal).catch(() => undefined)
    },
    reset() {
      ms = 0
    },
  }
}

/** Repeats `work` while only a store is in the way, until `signal` aborts. For work that may run twice. */
export async function patiently<T>(
  work: () => Promise<T>,
  { clock, signal, onFirst }: { clock: Clock; signal: AbortSignal; onFirst: (error: unknown) => void },
): Promise<T> {
  const pause = createPause(clock, signal)
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!isPassing(error) || signal.aborted) throw error
      if (pause.isFirst) onFirst(error)
      await pause.wait()
    }
  }
}
