import { sql } from 'drizzle-orm'
import { type Clock, systemClock } from '../clock'
import type { Database } from '../db'
import type { Log } from '../log'
import { type RedisStore, RedisUnavailable } from '../redis'
import { appendToStream, streamLength } from './streams'
import { OUTBOX_KINDS, type OutboxKind, outbox } from './table'

export interface Sweeper {
  /** Sweeps every `intervalMs` until `signal` aborts, and then settles. Several may run at once. */
  run(signal: AbortSignal): Promise<void>
  /** One sweep: how many rows were published again and how many were removed. */
  sweep(): Promise<{ published: number; pruned: number }>
}

export interface SweeperSettings {
  database: Database
  redis: RedisStore
  log: Log
  clock?: Clock
  intervalMs?: number
  /** A row that was published so long ago and is not done was lost with Redis or its worker. Longer than a worker takes. */
  unfinishedAfterMs?: number
  /** A row that no relay marked after this was never published. Longer than the relay takes to mark. */
  unpublishedAfterMs?: number
}

const BATCH = 500
/** With so many entries in a stream its workers have enough to do; publishing more would only make it grow while they are away. */
const ENOUGH_IN_STREAM = 10_000
/** Dead letters keep theirs until they are replayed. */
const KEEP_DONE = sql`interval '24 hours'`
const PRUNE_BATCH = 5000

/** Makes Redis expendable: publishes what a crash, a full queue or a Redis that forgot has left unfinished. */
export function createSweeper({
  database,
  redis,
  log,
  clock = systemClock,
  intervalMs = 5000,
  unfinishedAfterMs = 30_000,
  unpublishedAfterMs = 2000,
}: SweeperSettings): Sweeper {
  /** Marks first: what then fails to be published waits until it is unfinished. No transaction waits for Redis. */
  async function takeUnfinished(kind: OutboxKind): Promise<string[]> {
    const rows = await database.db
      .update(outbox)
      .set({ relayedAt: sql`now()` })
      .where(
        sql`${outbox.id} = any(array(
          select id from outbox
          where done_at is null and kind = ${kind} and (
            (relayed_at is null and created_at < now() - ${unpublishedAfterMs} * interval '1 millisecond')
            or relayed_at < now() - ${unfinishedAfterMs} * interval '1 millisecond'
          )
          order by created_at
          limit ${BATCH}
          for update skip locked
        ))`,
      )
      .returning({ id: outbox.id })
    return rows.map(({ id }) => id)
  }

  async function publishUnfinished(kind: OutboxKind): Promise<number> {
    const room = ENOUGH_IN_STREAM - (await streamLength(redis, kind))
    let published = 0
    while (published < room) {
      const ids = await takeUnfinished(kind)
      if (ids.length > 0) await publishOrGiveBack(kind, ids)
      published += ids.length
      if (ids.length < BATCH) break
    }
    return published
  }

  /** On a cluster the stream of one kind may be away and that of the next not. */
  async function publishIfReachable(kind: OutboxKind): Promise<number> {
    try {
      return await publishUnfinished(kind)
    } catch (error) {
      if (!(error instanceof RedisUnavailable)) throw error
      log.warn('outbox rows cannot be published, the next sweep tries again', { queue: kind, error })
      return 0
    }
  }

  async function publishOrGiveBack(kind: OutboxKind, ids: string[]) {
    try {
      await appendToStream(redis, kind, ids)
    } catch (error) {
      await database.db
        .update(outbox)
        .set({ relayedAt: null })
        .where(sql`${outbox.id} = any(${sql.param(ids)}::uuid[]) and ${outbox.doneAt} is null`)
      throw error
    }
  }

  async function prune(): Promise<number> {
    const rows = await database.db
      .delete(outbox)
      .where(
        sql`${outbox.id} = any(array(
          select id from outbox
          where done_at < now() - ${KEEP_DONE}
            and not exists (select from dead_letters where outbox_id = outbox.id and replayed_at is null)
          order by done_at
          limit ${PRUNE_BATCH}
          for update skip locked
        ))`,
      )
      .returning({ id: outbox.id })
    return rows.length
  }

  async function sweep() {
    let published = 0
    if (redis.available) for (const kind of OUTBOX_KINDS) published += await publishIfReachable(kind)
    const pruned = await prune()
    if (published > 0) log.info('published unfinished outbox rows again', { rows: published })
    return { published, pruned }
  }

  return {
    sweep,
    async run(signal) {
      while (!signal.aborted) {
        await sweep().catch((error) => log.warn('outbox sweep failed', { error }))
        // Spread over replicas, so that they do not sweep in step.
        await clock.sleep(intervalMs * (0.8 + Math.random() * 0.4), signal).catch(() => undefined)
      }
    },
  }
}
