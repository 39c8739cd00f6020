import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import { isPassing } from '~/platform/passing-failure'
import type { LiveLog } from './live-log'
import { isTerminal, type LogEvent, waitsBehind } from './log-event'
import { readLog } from './queries/events'
import { findEarlierThatWaits } from './queries/list'

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
 * `undefined` comes after `heartbeatMs` without an entry. A run that has not begun, because an earlier one of its session waits for somebody, says so in an
 * entry that is none of the log's: its number is 0. Nothing comes where `after` is the end of a run that is over.
 * @throws DomainError `not-found` when the run is deleted meanwhile; when PostgreSQL is away for too long, or this process stops
 */
export async function* followRun(
  { db, live }: { db: Db; live: LiveLog },
  { runId, after, signal, heartbeatMs, patienceMs }: Following,
): AsyncGenerator<LogEvent | undefined, void> {
  const follower = live.follow(runId)
  let seen = after
  let quietSince = performance.now()
  let checkedAt = follower.holds(after) ? performance.now() : Number.NEGATIVE_INFINITY
  let awaySince = Number.POSITIVE_INFINITY
  let isToldToWait = false

  const stored = async (): Promise<{ behind: LogEvent[]; last?: LogEvent | undefined; isGone?: boolean; earlier?: string | undefined }> => {
    try {
      const read = await readLog(db, runId, { after: seen, limit: CHUNKS })
      const hasBegun = read.last !== undefined || isToldToWait
      const earlier = hasBegun ? undefined : await findEarlierThatWaits(db, runId)
      awaySince = Number.POSITIVE_INFINITY
      return { ...read, earlier }
    } catch (error) {
      const now = performance.now()
      awaySince = Math.min(awaySince, now)
      if (!isPassing(error) || now - awaySince >= patienceMs) throw error
      return { behind: [] }
    }
  }

  try {
    while (!signal.aborted) {
      let entries = await follower.read(seen)
      if (entries.length === 0 && performance.now() - checkedAt >= CHECK_MS) {
        // What Redis has forgotten, never had or has in part: PostgreSQL knows all that was ever shown and is no longer in memory.
        checkedAt = performance.now()
        const { behind, last, isGone, earlier } = await stored()
        if (earlier !== undefined) {
          isToldToWait = true
          yield waitsBehind(runId, earlier)
          quietSince = performance.now()
        }
        if (isGone) throw new DomainError('not-found', 'The run is gone: its session or its agent was deleted.')
        entries = behind
        if (entries.length > 0) checkedAt = Number.NEGATIVE_INFINITY
        else if (last !== undefined && isTerminal(last)) {
          // A client that claims to have seen more than there is.
          if (last.seq < seen) yield last
          return
        }
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
