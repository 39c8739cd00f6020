import { type Clock, systemClock } from './clock'
import type { Database } from './db'
import { createGathering } from './gathering'
import { createHardStop } from './hard-stop'
import type { Log } from './log'
import { type ConsumerGroup, type Delivery, isGroupLost, joinGroup } from './outbox/consumer-group'
import { buryLetter } from './outbox/dead-letters'
import type { OutboxKind } from './outbox/table'
import { isPassing } from './passing-failure'
import { createPause, type Pause, patiently } from './patience'
import type { RedisStore } from './redis'
import { UUID } from './uuid'

/** An outbox id that no repetition will help, and why. */
export interface Refusal {
  id: string
  reason: string
}

/**
 * Does the work of some outbox rows and records it, with the row's `done_at`, in PostgreSQL; returns the ids that it will never do.
 * At least once: it meets a row again after a crash, a lost reply or a doubled publication, so it must look there first whether it is done.
 * What it throws is tried again: at once where the database was away, else one row at a time, and after five deliveries the row is set aside.
 * `signal` aborts when a stopping process cannot wait any longer; until then the job in hand is finished.
 */
export type Handle = (ids: string[], signal: AbortSignal) => Promise<Refusal[]>

export interface StreamWorker {
  /** Works until `signal` aborts; settles once the jobs in hand have, or after `settleMs`. Survives Redis and PostgreSQL being away. */
  run(signal: AbortSignal): Promise<void>
}

export interface StreamWorkerSettings {
  redis: RedisStore
  database: Database
  log: Log
  kind: OutboxKind
  handle: Handle
  /** Rows handed to one call. */
  batchSize: number
  /** Calls at the same time. */
  concurrency: number
  /** An entry that its consumer has not touched for so long is taken over. Live consumers touch theirs three times as often. */
  claimAfterMs?: number
  maxDeliveries?: number
  settleMs?: number
  clock?: Clock
}

/** How long a stopping worker waits for the jobs in hand unless told. */
export const SETTLE_MS = 10_000
const BLOCK_MS = 1000
/** Jobs whose entries one call of Redis settles. */
const ACKNOWLEDGED_AT_ONCE = 256

export function createStreamWorker(settings: StreamWorkerSettings): StreamWorker {
  return { run: (signal) => runWorker(settings, signal) }
}

async function runWorker(settings: StreamWorkerSettings, signal: AbortSignal) {
  const { redis, kind, batchSize, concurrency, claimAfterMs = 30_000, settleMs = SETTLE_MS, clock = systemClock } = settings
  const log = settings.log.with({ queue: kind })
  const group = joinGroup(redis, kind, `${process.pid}-${Bun.randomUUIDv7()}`)
  const inHand = new Set<string>()
  const jobs = new Set<Promise<void>>()
  const pause = createPause(clock, signal)
  const stop = createHardStop(signal, settleMs)
  const settle = createSettle(settings, { group, log, signal, hardStop: stop.signal })

  const beat = setInterval(() => {
    group.touch([...inHand]).catch((error) => log.debug('entries in hand were not touched', { error }))
  }, claimAfterMs / 3)

  const wake = () => void group.wake().catch((error) => log.debug('a waiting read was not ended early', { error }))
  signal.addEventListener('abort', wake, { once: true })

  function start(deliveries: Delivery[]) {
    const fresh = deliveries.filter(({ entryId }) => !inHand.has(entryId))
    for (let i = 0; i < fresh.length; i += batchSize) {
      const batch = fresh.slice(i, i + batchSize)
      for (const { entryId } of batch) inHand.add(entryId)
      const job = settle(batch).finally(() => {
        for (const { entryId } of batch) inHand.delete(entryId)
        jobs.delete(job)
      })
      jobs.add(job)
    }
  }

  let claimAt = 0
  async function takeSome() {
    const free = (concurrency - jobs.size) * batchSize
    if (free <= 0) return void (await Promise.race(jobs))
    if (Date.now() >= claimAt) {
      const abandoned = await group.claim(free, claimAfterMs)
      if (abandoned.length > 0) return start(abandoned)
      await group.tidy()
      claimAt = Date.now() + claimAfterMs / 3
    }
    start(await group.read(free, BLOCK_MS))
  }

  try {
    while (!signal.aborted) {
      try {
        await takeSome()
        pause.reset()
      } catch (error) {
        await recover(error, group, log, pause)
      }
    }
    await Promise.race([Promise.all(jobs), stop.reached])
  } finally {
    clearInterval(beat)
    signal.removeEventListener('abort', wake)
    stop.clear()
    await group.leave().catch((error) => log.debug('consumer was not removed', { error }))
    group.disconnect()
  }
}

/** Whatever went wrong between us and Redis: a lost group is made again, anything else is waited out. */
async function recover(error: unknown, group: ConsumerGroup, log: Log, pause: Pause) {
  if (!isGroupLost(error)) {
    // That Redis is away is reported by its own connection.
    if (pause.isFirst && !isPassing(error)) log.warn('stream is not readable, trying again', { error })
    return pause.wait()
  }
  await group.ensure().catch((failure) => {
    if (pause.isFirst && !isPassing(failure)) log.warn('consumer group could not be made, trying again', { error: failure })
    return pause.wait()
  })
}

interface Settling {
  group: ConsumerGroup
  log: Log
  signal: AbortSignal
  hardStop: AbortSignal
}

/** Never rejects: what could not be settled stays pending, and is claimed by somebody after `claimAfterMs`. */
function createSettle(
  { database, kind, handle, maxDeliveries = 5, clock = systemClock }: StreamWorkerSettings,
  { group, log, signal, hardStop: deadline }: Settling,
) {
  /** Jobs end many at a time: what is settled while Redis is told goes with the next call. */
  const acknowledge = createGathering<string[], void>({
    most: ACKNOWLEDGED_AT_ONCE,
    async work(entryIds) {
      await group.acknowledge(entryIds.flat())
      return entryIds.map(() => undefined)
    },
  })

  const bury = async ({ fields, count, entryId }: Delivery, outboxId: string | null, reason: string) => {
    log.error('entry set aside as dead letter', { entry: entryId, outbox_id: outboxId, deliveries: count, reason })
    await buryLetter(database, { kind, outboxId, entry: { entry_id: entryId, fields: fields.join(' ') }, reason })
  }

  /** Waiting for the database does not make an entry poison. */
  const patient = <T>(work: () => Promise<T>) =>
    patiently(work, { clock, signal, onFirst: (error) => log.warn('database is away, the job in hand waits', { error }) })

  async function workOn(batch: Known[]): Promise<void> {
    let refusals: Refusal[]
    try {
      refusals = await patient(() => handle([...new Set(batch.map(({ id }) => id))], deadline))
    } catch (error) {
      if (isPassing(error)) return
      if (batch.length === 1) return onFailure(batch[0] as Known, error)
      for (const one of batch) await workOn([one])
      return
    }
    const reasons = new Map(refusals.map(({ id, reason }) => [id, reason]))
    for (const { id, delivery } of batch) {
      const reason = reasons.get(id)
      if (reason !== undefined) await patient(() => bury(delivery, id, reason))
    }
    await acknowledge(batch.map(({ delivery }) => delivery.entryId))
  }

  async function onFailure({ id, delivery }: Known, error: unknown) {
    log.warn('entry failed', { entry: delivery.entryId, outbox_id: id, deliveries: delivery.count, error })
    if (delivery.count < maxDeliveries) return
    await patient(() => bury(delivery, id, `failed ${delivery.count} times: ${String(error)}`))
    await acknowledge([delivery.entryId])
  }

  async function settle(deliveries: Delivery[]): Promise<void> {
    const batch: Known[] = []
    for (const delivery of deliveries) {
      const id = outboxIdOf(delivery)
      if (id !== undefined && delivery.count <= maxDeliveries) {
        batch.push({ id, delivery })
        continue
      }
      const reason = id === undefined ? 'not an outbox id' : `taken over ${delivery.count - 1} times: its workers died or never ended`
      await patient(() => bury(delivery, id ?? null, reason))
      await acknowledge([delivery.entryId])
    }
    if (batch.length > 0) await workOn(batch)
  }

  return (deliveries: Delivery[]) =>
    settle(deliveries).catch((error) => log.warn('entries stay pending', { entries: deliveries.length, error }))
}

interface Known {
  id: string
  delivery: Delivery
}

function outboxIdOf({ fields: [name, id, ...more] }: Delivery): string | undefined {
  return name === 'id' && id !== undefined && more.length === 0 && UUID.test(id) ? id : undefined
}
