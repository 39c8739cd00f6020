import type { Clock } from '~/platform/clock'
import type { Log } from '~/platform/log'
import type { Launched } from './launched'
import { StartError } from './start-error'

export type Kept = ReturnType<typeof keepRunning>

const MAX_BACKOFF_MS = 30_000
/** A process that lived for so long did not fail at its start: the next one is launched at once. */
const STABLE_MS = 30_000
const MAX_FAILED_STARTS = 3

/**
 * Launches a process, and another whenever it ends: the first at once, then with growing delays until one has been stable for 30 s.
 * `onExit` is told which instance died; its successor does not wait for what comes of that.
 */
export function keepRunning({
  name,
  launch,
  onExit,
  clock,
  log,
}: {
  name: string
  launch(): Launched
  onExit?(instance: string): Promise<void>
  clock: Clock
  log: Log
}) {
  const firstReady = Promise.withResolvers<void>()
  // Whoever awaits it hears the failure; nobody has to.
  firstReady.promise.catch(() => undefined)
  const waiting = new AbortController()
  let current: Launched | undefined
  let started = false
  let served = false
  let failures = 0

  const run = async () => {
    while (!waiting.signal.aborted) {
      const launchedAt = clock.now()
      const process = launch()
      current = process
      if (started) process.start()
      void process.ready.then(() => {
        served = true
        firstReady.resolve()
      })
      const how = await process.exited
      current = undefined
      if (waiting.signal.aborted) return
      void onExit?.(process.instance).catch((error) =>
        log.error('could not settle what a dead process left', { instance: process.instance, error }),
      )
      failures = clock.now() - launchedAt >= STABLE_MS ? 0 : failures + 1
      if (!served && failures >= MAX_FAILED_STARTS) return firstReady.reject(new StartError(`${name} does not start: ${how}`))
      const delayMs = backoffMs(failures)
      log.error(`${name} ended (${how}), restarting it`, { instance: process.instance, delay_ms: delayMs })
      await clock.sleep(delayMs, waiting.signal).catch(() => undefined)
    }
  }
  const done = run()

  return {
    name,
    /** Rejects with a StartError when it ended three times without ever having served. */
    firstReady: firstReady.promise,
    /** Lets it start that was launched ahead, and every later one. */
    start() {
      started = true
      current?.start()
    },
    /** No successor; settles when it has ended. */
    stop(signal: 'SIGTERM' | 'SIGKILL') {
      waiting.abort(new Error('stopping'))
      current?.kill(signal)
      return done
    },
  }
}

const backoffMs = (failures: number) =>
  failures <= 1 ? 50 : Math.round(Math.min(MAX_BACKOFF_MS, 250 * 2 ** failures) * (0.75 + Math.random() / 2))
