import { sql } from 'drizzle-orm'
import type { Database } from '../db'
import type { Log } from '../log'
import type { RedisStore } from '../redis'
import { appendToStream, type Notice } from './streams'
import { type OutboxKind, outbox } from './table'

export interface Relay {
  /**
   * Tells the workers about committed outbox rows. Returns at once and never throws: what cannot be told is found by the sweeper.
   * Call it after COMMIT: a worker that reads faster than we commit would take the row for unknown.
   */
  publish(notices: Notice[]): void
  /** Publishes and marks what is waiting, for `graceMs` at most. */
  close(): Promise<void>
}

export interface RelaySettings {
  database: Database
  redis: RedisStore
  log: Log
}

const MAX_WAITING = 20_000
const BATCH = 500
/** Less than the age at which the sweeper takes an unmarked row for unpublished. By then most rows are done, and marking them costs no write. */
const MARK_AFTER_MS = 1000
const CLOSE_GRACE_MS = 2000

/** The short way from COMMIT to a worker, inside an API process: whatever goes wrong here only costs time. */
export function createRelay({ database, redis, log }: RelaySettings): Relay {
  let waiting: Notice[] = []
  let unmarked: string[] = []
  let publishing: Promise<void> | undefined
  let markTimer: Timer | undefined
  /** Said once, until it goes well again: on a cluster the stream of one kind may be away while others are not. */
  const failing = new Set<OutboxKind | 'room' | 'marks'>()

  function failed(what: OutboxKind | 'room' | 'marks', message: string, fields: Record<string, unknown>) {
    if (!failing.has(what)) log.warn(message, fields)
    failing.add(what)
  }

  async function publishWaiting() {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, BATCH)
      waiting = waiting.slice(BATCH)
      await Promise.all([...Map.groupBy(batch, ({ kind }) => kind)].map(([kind, notices]) => publishKind(kind, notices)))
    }
  }

  /** Streams apart: on a cluster the one may be away and the other not. */
  async function publishKind(kind: OutboxKind, notices: Notice[]) {
    const ids = notices.map(({ id }) => id)
    try {
      await appendToStream(redis, kind, ids)
      failing.delete(kind)
      keepForMarking(ids)
    } catch (error) {
      const rest = waiting.filter((notice) => notice.kind !== kind)
      failed(kind, 'outbox rows were not published: the sweeper will', {
        queue: kind,
        rows: ids.length + waiting.length - rest.length,
        error,
      })
      waiting = rest
    }
  }

  function keepForMarking(ids: string[]) {
    if (unmarked.length < MAX_WAITING) unmarked.push(...ids)
    markTimer ??= setTimeout(() => void markPublished(), MARK_AFTER_MS)
  }

  async function markPublished() {
    clearTimeout(markTimer)
    markTimer = undefined
    const ids = unmarked
    unmarked = []
    if (ids.length === 0) return
    try {
      await database.db
        .update(outbox)
        .set({ relayedAt: sql`now()` })
        .where(
          // One that is locked is in a worker's hands: neither waited for nor marked.
          sql`${outbox.id} = any(array(
            select id from outbox where id = any(${sql.param(ids)}::uuid[]) and done_at is null and relayed_at is null for update skip locked
          ))`,
        )
      failing.delete('marks')
    } catch (error) {
      failed('marks', 'published outbox rows were not marked: the sweeper publishes them again', { rows: ids.length, error })
    }
  }

  /** One batch at a time: what is published meanwhile makes up the next batch. */
  function start() {
    publishing ??= publishWaiting().finally(() => {
      publishing = undefined
    })
  }

  return {
    publish(notices) {
      if (waiting.length + notices.length > MAX_WAITING)
        return failed('room', 'outbox relay is full: the sweeper publishes', { rows: notices.length })
      failing.delete('room')
      waiting.push(...notices)
      start()
    },
    async close() {
      await Promise.race([Promise.resolve(publishing).then(markPublished), Bun.sleep(CLOSE_GRACE_MS)])
    },
  }
}
