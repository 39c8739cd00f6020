import type { Clock } from '~/platform/clock'
import type { Db } from '~/platform/db'
import type { Log } from '~/platform/log'
import { patiently } from '~/platform/patience'
import { HandedOver } from '~/runtime/pause'
import type { LiveLog } from './live-log'
import type { LogEvent } from './log-event'
import { readLog } from './queries/events'
import type { OwnedRun } from './queries/owned'

export interface InheritedLog {
  entries: LogEvent[]
  /** Behind which to go on. */
  lastSeq: number
  /** The last of them, where only Redis has them. */
  unsaved: LogEvent[]
}

const MAX_LOG_CHUNKS = 10_000
/** A Redis that fails over is back by then. What it may have that PostgreSQL has not is a quarter of a second of the run. */
const REDIS_PATIENCE_MS = 10_000
const RETRY_MS = 100
/** Left free for what Redis may have or had, which holds fewer entries of a run: who has seen them must miss nothing that comes now. */
const LEAP = 100_000
/** Of the stored entries the last one may have been stored just before the process died, and not be in Redis; the one before it was, and so was the first. */
const OVERLAP = 2

/**
 * The log of a run up to here, to be gone on with. Where its last process was killed, pieces that it showed in its last moments may be in Redis alone: a
 * Redis that is away is waited for, so that nobody sees them twice, but not for ever, nor for a run that is to end now. PostgreSQL is waited for until the
 * signal aborts. @throws RunTakenOver, HandedOver
 */
export async function inheritLog(
  { db, live, clock, log }: { db: Db; live: LiveLog; clock: Clock; log: Log },
  run: OwnedRun,
  signal: AbortSignal,
): Promise<InheritedLog> {
  if (run.past === 'none') return { entries: [], lastSeq: 0, unsaved: [] }
  const onFirst = (error: unknown) => log.warn('the database is away, a run waits', { run_id: run.id, error })
  const wasCutOff = run.past === 'cut-off'
  const patience = wasCutOff ? REDIS_PATIENCE_MS : 0
  const from = performance.now()
  for (;;) {
    // Before it is read how far the log goes: an earlier owner that is only slow would add to it.
    const isFenced = await live.fence(run)
    const { behind: past } = await patiently(() => readLog(db, run.id, { after: 0, limit: MAX_LOG_CHUNKS }), { clock, signal, onFirst })
    const lastStored = past.at(-1)?.seq ?? 0
    const recalled = isFenced ? await recallAll(live, run.id, Math.max(0, lastStored - OVERLAP)) : undefined
    if (recalled === undefined && signal.reason instanceof HandedOver) throw signal.reason
    if (recalled !== undefined || signal.aborted || performance.now() - from >= patience) {
      const unsaved = recalled?.filter(({ seq }) => seq > lastStored) ?? []
      const doubt = wasCutOff ? doubtAbout(recalled, lastStored) : undefined
      if (doubt !== undefined) log.warn(`${doubt}: what was shown of a run last may be shown again`, { run_id: run.id })
      if (doubt === undefined && recalled !== undefined) await complete(live, run, past, recalled)
      const lastSeq = doubt === undefined ? (unsaved.at(-1)?.seq ?? lastStored) : lastStored + LEAP
      return { entries: [...past, ...unsaved], lastSeq, unsaved }
    }
    await clock.sleep(RETRY_MS, signal).catch(() => undefined) // aborted: the next look is the last one
  }
}

/** Why entries may have been shown that are nowhere to be found. */
function doubtAbout(recalled: LogEvent[] | undefined, lastStored: number): string | undefined {
  if (recalled === undefined) return 'redis is away'
  // Who has not even what is stored has lost its data, and who knows what besides.
  return lastStored > 0 && recalled.length === 0 ? 'redis has lost the log of a run' : undefined
}

/**
 * Gives Redis the last stored entries where it has not got them: one may have been stored as the process died, or the log left Redis while the run waited.
 * With a gap before the entries that come now, whoever takes the run over next would take its log for lost.
 */
async function complete(live: LiveLog, run: OwnedRun, past: LogEvent[], recalled: LogEvent[]) {
  const lastRecalled = recalled.at(-1)?.seq ?? 0
  const missing = past.slice(-OVERLAP).filter(({ seq }) => seq > lastRecalled)
  if (missing.length > 0) await live.append(run, missing)
}

/** What lies in Redis behind `after`; undefined when it is not reached. */
async function recallAll(live: LiveLog, runId: string, after: number): Promise<LogEvent[] | undefined> {
  const entries: LogEvent[] = []
  for (;;) {
    const more = await live.recall(runId, entries.at(-1)?.seq ?? after)
    if (more === undefined) return undefined
    if (more.length === 0) return entries
    entries.push(...more)
  }
}
