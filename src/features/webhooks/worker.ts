import { type Clock, systemClock } from '~/platform/clock'
import type { Database, Db, Send } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { Log } from '~/platform/log'
import type { Outbound } from '~/platform/outbound'
import { insertDeadLetter } from '~/platform/outbox/dead-letters'
import { createDueWorker } from '~/platform/outbox/due-worker'
import { lockOutbox } from '~/platform/outbox/lock'
import { patiently } from '~/platform/patience'
import type { RedisStore } from '~/platform/redis'
import { retryAfterMs } from '~/platform/retry-after'
import type { Secrets } from '~/platform/secrets'
import { createStreamWorker, type Refusal, type StreamWorker } from '~/platform/stream-worker'
import { abandon, findStanding, finish, type Lease, leaseDelivery, listDue, type Outcome, recordOutcome } from './queries/attempts'
import { contextOf } from './service'
import { signedHeaders } from './signature'

export interface WebhookWorkerSettings {
  database: Database
  redis: RedisStore
  log: Log
  secrets: Secrets
  outbound: Outbound
  timeoutMs?: number
  concurrency?: number
  /** Waits before the attempts behind the first; after the last it is given up. */
  retryAfterMs?: readonly number[]
  /** See the stream worker. */
  claimAfterMs?: number
  clock?: Clock
}

const MINUTE = 60_000
/** A day and a half in all. */
const RETRY_AFTER_MS = [5000, 5 * MINUTE, 30 * MINUTE, 120 * MINUTE, 300 * MINUTE, 600 * MINUTE, 1080 * MINUTE]
const LEASE_MARGIN_MS = 15_000
const MOST_ASKED_MS = 60 * MINUTE

interface Call {
  lease: Lease
  clientId: string
  webhookId: string
  url: string
  sealedSecret: string
  body: string
}

type Step = { kind: 'nothing' } | { kind: 'refused'; reason: string } | { kind: 'call'; call: Call }

/** Tells clients' systems of events: signed, through the outbound guard, again and again for hours where they do not take it. */
export function createWebhookWorker(settings: WebhookWorkerSettings): StreamWorker {
  const { database, redis, log, concurrency = 8, timeoutMs = 10_000, claimAfterMs, clock = systemClock } = settings

  async function deliver(id: string, signal: AbortSignal): Promise<Refusal[]> {
    const step = await database.transaction((tx, send) => takeStep(tx, send, id, timeoutMs + LEASE_MARGIN_MS))
    if (step.kind === 'refused') return [{ id, reason: step.reason }]
    if (step.kind === 'nothing') return []
    const outcome = await call(settings, step.call, timeoutMs, signal)
    await patiently(() => database.transaction((tx) => record(tx, step.call, outcome)), {
      clock,
      signal,
      onFirst: (error) => log.warn('outcome of a webhook could not be recorded, trying again', { delivery: id, error }),
    })
    log.info('webhook called', { delivery: id, attempt: step.call.lease.attempts, state: outcome.state, status: outcome.status })
    return []
  }

  const stream = createStreamWorker({
    redis,
    database,
    log,
    kind: 'webhook',
    batchSize: 1,
    concurrency,
    clock,
    ...(claimAfterMs === undefined ? {} : { claimAfterMs }),
    handle: async ([id], signal) => (id === undefined ? [] : deliver(id, signal)),
  })
  const due = createDueWorker({
    name: 'webhooks',
    log,
    concurrency,
    clock,
    listDue: (limit) => listDue(database.db, limit),
    async deliver(id, signal) {
      const refusals = await deliver(id, signal)
      if (refusals.length > 0) await abandon(database.db, id, 'the request for this call is gone')
    },
  })

  return {
    async run(signal) {
      await Promise.all([stream.run(signal), due.run(signal)])
    },
  }
}

/** Decides, under the outbox row's lock, what is to be done about a delivery now. */
async function takeStep(tx: Db, send: Send, id: string, leaseMs: number): Promise<Step> {
  await send(() => lockOutbox(tx, id))
  const standing = await findStanding(tx, id)
  if (standing === undefined || standing.kind !== 'webhook') return { kind: 'refused', reason: 'no such webhook delivery' }
  if (standing.done) return { kind: 'nothing' }
  const { state, payload, clientId, webhookId, url, sealedSecret, isActive } = standing
  if (state === null || state === 'sent' || state === 'failed') {
    // Deleted with its webhook, or settled.
    await finish(tx, id)
    return { kind: 'nothing' }
  }
  if (clientId === null || webhookId === null || url === null || sealedSecret === null || !isActive) {
    await abandon(tx, id, 'the webhook is switched off')
    return { kind: 'nothing' }
  }
  if (!standing.isDue) return { kind: 'nothing' }
  const lease = await leaseDelivery(tx, id, leaseMs)
  return { kind: 'call', call: { lease, clientId, webhookId, url, sealedSecret, body: JSON.stringify(payload) } }
}

/** One call, outside any transaction. The status is all that counts of its answer, and a redirect is a refusal like any other. */
async function call(
  settings: WebhookWorkerSettings,
  { lease, clientId, webhookId, url, sealedSecret, body }: Call,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Outcome> {
  const { database, secrets, outbound, retryAfterMs: waits = RETRY_AFTER_MS, clock = systemClock } = settings
  const again = (status: number | null, error: string, askedMs = 0): Outcome => {
    const delay = waits[lease.attempts - 1]
    if (delay === undefined) return { state: 'failed', status, error: `gave up after ${lease.attempts} attempts: ${error}` }
    const spread = delay * (0.9 + Math.random() * 0.2)
    return { state: 'queued', status, error, delayMs: Math.round(Math.max(spread, Math.min(askedMs, MOST_ASKED_MS))) }
  }
  try {
    const secret = await secrets.open(database.db, clientId, contextOf(webhookId), sealedSecret)
    const timestamp = Math.floor(clock.now() / 1000)
    const headers = { 'content-type': 'application/json', ...signedHeaders(secret, { id: lease.id, timestamp, body }) }
    const response = await outbound.fetch(url, { method: 'POST', headers, body, signal }, { timeoutMs })
    await response.body?.cancel()
    const { status } = response
    if (status < 300) return { state: 'sent', status, error: null }
    const error = `answered ${status}`
    // Gone for good, says the receiver.
    if (status === 410) return { state: 'failed', status, error }
    return again(status, error, retryAfterMs(response.headers.get('retry-after')))
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    if (error.problem === 'url-not-allowed') return { state: 'failed', status: null, error: error.message }
    return again(null, error.message)
  }
}

async function record(tx: Db, { lease }: Call, outcome: Outcome) {
  const isOurs = await recordOutcome(tx, lease, outcome)
  if (isOurs && outcome.state === 'failed')
    await insertDeadLetter(tx, { kind: 'webhook', outboxId: lease.id, entry: { delivery_id: lease.id }, reason: outcome.error ?? 'failed' })
}
