import type { Db } from '~/platform/db'
import type { Log } from '~/platform/log'
import type { AgentEvent } from '~/runtime/types'
import type { LiveLog } from './live-log'
import type { LogEvent, LogEventType } from './log-event'
import type { Persist } from './persist'
import { saveEvent } from './queries/events'
import type { OwnedRun } from './queries/owned'
import { finishRun, type RunOutcome } from './queries/runs'
import type { SaveLog } from './save-log'

/** How long a piece of text may live in Redis alone. All runs of a process are due at the same moments, so that they can go together. */
const PERSIST_MS = 250

/**
 * The writer's end of one run's event log; its one writer is the process that holds the lease.
 *
 * An entry is shown only after Redis or PostgreSQL has it, so that no client ever saw an entry that a successor would number differently.
 * Pieces of text go to Redis at once and to PostgreSQL in chunks; whole events and the end go to PostgreSQL first, with the change they tell of.
 */
export interface RunLog {
  /** Pieces: shown within a round trip to Redis. Returns at once; failures end the run through `failed`. */
  piece(type: LogEventType, data: Record<string, unknown>): void
  /** Settles when everything so far has been shown. @throws RunTakenOver */
  settle(): Promise<void>
  /** Stores what only Redis has so far. @throws RunTakenOver */
  flush(): Promise<void>
  /** @throws RunTakenOver */
  event(id: string, ordinal: number, event: AgentEvent, data: Record<string, unknown>): Promise<void>
  /** The last entry. @throws RunTakenOver */
  end(type: LogEventType, data: Record<string, unknown>, outcome: RunOutcome): Promise<void>
  close(): void
}

export function openRunLog({
  db,
  saveLog,
  live,
  run,
  lastSeq,
  unsaved: inherited = [],
  log,
  persist,
  committed = Promise.resolve(),
  failed,
}: {
  db: Db
  saveLog: SaveLog
  live: LiveLog
  persist: Persist
  run: OwnedRun
  lastSeq: number
  /** The last entries up to `lastSeq`, where only Redis has them yet: they go to PostgreSQL with the next ones. */
  unsaved?: LogEvent[]
  log: Log
  /** Nothing is shown before it. */
  committed?: Promise<void> | undefined
  failed: (error: unknown) => void
}): RunLog {
  live.open(run.id, lastSeq)
  let seq = lastSeq
  /** Given out, not yet shown. */
  let outgoing: LogEvent[] = []
  /** Shown or about to be, not yet in PostgreSQL. */
  let unsaved = [...inherited]
  let tail: Promise<void> = committed
  let timer: ReturnType<typeof setTimeout> | undefined
  let broken: unknown

  const next = (type: LogEventType, data: Record<string, unknown>): LogEvent => {
    const entry = { seq: ++seq, type, data }
    unsaved.push(entry)
    return entry
  }

  /** One thing after the other: the log has one order. */
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    tail = tail.then(async () => {
      if (broken !== undefined) throw broken
      await work()
    })
    tail.catch((error) => {
      if (broken !== undefined) return
      broken = error
      failed(error)
    })
    return tail
  }

  const showPieces = async () => {
    const batch = outgoing
    if (batch.length === 0) return
    outgoing = []
    if (!(await live.append(run, batch))) await save()
    live.show(run.id, batch)
  }

  const save = async () => {
    if (unsaved.length > 0) await store((entries) => saveLog({ run, entries }))
  }

  /** Writes what is unsaved as it is now: pieces that come meanwhile are left for the next time, also where a write is tried again. */
  const store = async (write: (entries: LogEvent[]) => Promise<boolean>) => {
    const entries = [...unsaved]
    await persist(() => write(entries))
    unsaved = unsaved.slice(entries.length)
  }

  const saveSoon = () => {
    timer ??= setTimeout(
      () => {
        timer = undefined
        inTurn(save).catch(() => log.debug('run log closed', { run_id: run.id }))
      },
      PERSIST_MS - (performance.now() % PERSIST_MS),
    )
  }

  /** Stored first, then shown: Redis may miss it, since PostgreSQL has it. */
  const commit = (type: LogEventType, data: Record<string, unknown>, write: (entries: LogEvent[]) => Promise<boolean>) =>
    inTurn(async () => {
      await showPieces()
      const entry = next(type, data)
      await store(write)
      await live.append(run, [entry])
      live.show(run.id, [entry])
    })

  return {
    piece(type, data) {
      const isFirst = outgoing.length === 0
      outgoing.push(next(type, data))
      if (isFirst) inTurn(showPieces).catch(() => log.debug('run log closed', { run_id: run.id }))
      saveSoon()
    },
    settle: () => inTurn(async () => {}),
    flush: () => inTurn(save),
    event: (id, ordinal, event, data) => commit('message', data, (entries) => saveEvent(db, run, { id, ordinal, event, entries })),
    end: (type, data, outcome) => commit(type, data, (entries) => finishRun(db, run, { ...outcome, entries })),
    close() {
      clearTimeout(timer)
      live.forget(run.id)
    },
  }
}
