import type { Db } from '~/platform/db'
import { isPassing } from '~/platform/passing-failure'
import type { LiveLog } from './live-log'
import { isTerminal, type LogEvent } from './log-event'
import { listLog } from './queries/events'

/** How long a follower may miss the news when the nudge was lost. */
const CHECK_MS = 1000
const CHUNKS = 100

export interface Following {
  runId: string
  after: number
  /** Aborts when the client leaves. */
  signal: AbortSignal
  heartbeatMs: number
  /** How long PostgreSQL may be away before the following ends with its error. */
  patienceMs: number
}

/**
 * A run's log behind `after`, each entry once and in order, until the run is over or the signal aborts; on whatever process the run is executed.
 * `undefined` comes after `heartbeatMs` without an entry.
 * @throws DomainError when PostgreSQL is away for too long, or this process stops
 */
export async function* followRun(
  { db, live }: { db: Db; live: LiveLog },
  { runId, after, signal, heartbeatMs, patienceMs }: Following,
): AsyncGenerator<LogEvent | undefined, void> {
  const follower = live.follow(runId)
  let seen = after
  let quietSince = performance.now()
  let checkedAt = Number.NEGATIVE_INFINITY
  let awaySince = Number.POSITIVE_INFINITY

  const stored = async (): Promise<LogEvent[]> => {
    try {
      const entries = await listLog(db, runId, { after: seen, limit: CHUNKS })
      awaySince = Number.POSITIVE_INFINITY
      return entries
    } catch (error) {
      const now = performance.now()
      awaySince = Math.min(awaySince, now)
      if (!isPassing(error) || now - awaySince >= patienceMs) throw error
      return []
    }
  }

  try {
    while (!signal.aborted) {
      let entries = await follower.read(seen)
      if (entries.length === 0 && !follower.holds(seen) && performance.now() - checkedAt >= CHECK_MS) {
        // What Redis has forgotten, never had or has in part: PostgreSQL knows all that was ever shown and is no longer in memory.
        checkedAt = performance.now()
        entries = await stored()
        if (entries.length > 0) checkedAt = Number.NEGATIVE_INFINITY
      }
      for (const entry of entries) {
        if (entry.seq <= seen) continue
        seen = entry.seq
        yield entry
        if (isTerminal(entry)) return
        quietSince = performance.now()
      }
      if (entries.length > 0) continue
      const beat = quietSince + heartbeatMs - performance.now()
      if (beat <= 0) {
        yield undefined
        quietSince = performance.now()
      } else await follower.wait(Math.min(CHECK_MS, beat), signal)
    }
  } finally {
    follower.close()
  }
}
