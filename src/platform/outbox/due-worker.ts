import { type Clock, systemClock } from '../clock'
import { createHardStop } from '../hard-stop'
import type { Log } from '../log'
import { createPause } from '../patience'
import { SETTLE_MS } from '../stream-worker'

export interface DueWorkerSettings {
  /** What falls due, in the plural, for the log. */
  name: string
  log: Log
  /** Outbox ids whose time has come, the longest overdue first. */
  listDue(limit: number): Promise<string[]>
  /** Does what is due about one, or nothing where somebody else was quicker. `signal` aborts when a stopping process cannot wait any longer. */
  deliver(id: string, signal: AbortSignal): Promise<void>
  concurrency: number
  pollMs?: number
  clock?: Clock
}

export interface DueWorker {
  /** Works until `signal` aborts; settles once what is in hand has. Survives PostgreSQL being away, and does not know Redis. */
  run(signal: AbortSignal): Promise<void>
}

/** So many times `concurrency` are looked up at once. */
const AHEAD = 4

/** Attempts that have a time live in PostgreSQL alone, so that neither a restart nor a Redis that forgot delays them. */
export function createDueWorker({
  name,
  log,
  listDue,
  deliver,
  concurrency,
  pollMs = 1000,
  clock = systemClock,
}: DueWorkerSettings): DueWorker {
  async function deliverAll(ids: string[], signal: AbortSignal, hardStop: AbortSignal) {
    const waiting = [...ids]
    const lane = async () => {
      for (let id = waiting.shift(); id !== undefined && !signal.aborted; id = waiting.shift()) await deliver(id, hardStop)
    }
    await Promise.all(Array.from({ length: Math.min(concurrency, ids.length) }, lane))
  }

  return {
    async run(signal) {
      const pause = createPause(clock, signal)
      const hardStop = createHardStop(signal, SETTLE_MS)
      while (!signal.aborted) {
        try {
          await deliverAll(await listDue(concurrency * AHEAD), signal, hardStop.signal)
          pause.reset()
          await clock.sleep(pollMs * (0.8 + Math.random() * 0.4), signal).catch(() => undefined)
        } catch (error) {
          if (pause.isFirst) log.warn(`due ${name} could not be looked up or sent, trying again`, { error })
          await pause.wait()
        }
      }
      hardStop.clear()
    },
  }
}
