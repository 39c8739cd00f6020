import { type Clock, systemClock } from '~/platform/clock'
import type { Database, Db, Send } from '~/platform/db'
import type { Log } from '~/platform/log'
import { insertDeadLetter } from '~/platform/outbox/dead-letters'
import { createDueWorker } from '~/platform/outbox/due-worker'
import { lockOutbox } from '~/platform/outbox/lock'
import { patiently } from '~/platform/patience'
import type { RedisStore } from '~/platform/redis'
import { createStreamWorker, type Refusal } from '~/platform/stream-worker'
import { retryDelayMs } from './backoff'
import { type ComposeSettings, type Composition, composeMail } from './compose'
import {
  type Addressed,
  failOrphan,
  findStanding,
  finishOutbox,
  holdLapsed,
  insertEnded,
  type Lease,
  leaseDelivery,
  listDue,
  markFailed,
  markSent,
  markWaiting,
  replacePayload,
} from './queries/attempts'
import { findSuppression } from './queries/deliveries'
import { parseMailRequest } from './schema'
import { type Mail, type Mailbox, type MailSender, SendFailure } from './sender'
import { UNSETTLED } from './table'

export interface MailWorker {
  /** Works the email stream and sends again what is due, until `signal` aborts; the mails in hand are finished. */
  run(signal: AbortSignal): Promise<void>
}

export interface MailWorkerSettings extends ComposeSettings {
  database: Database
  redis: RedisStore
  log: Log
  sender: MailSender | Mailbox
  from: string
  sendTimeoutMs: number
  /** How long a mail that may have been sent waits for a word from the provider before it is sent again. */
  unknownHoldSeconds: number
  /** Mails in hand at once; as many again may be repetitions. */
  concurrency?: number
  /** 30 attempts are two and a half hours at least. */
  maxAttempts?: number
  duePollMs?: number
  /** The first wait after a refusal; see backoff.ts. */
  firstRetryMs?: number
  /** What a worker may need besides the call itself: two transactions, and some luck with the scheduler. */
  leaseMarginMs?: number
  /** See the stream worker. */
  claimAfterMs?: number
  clock?: Clock
}

const LEASE_MARGIN_MS = 15_000

type Step =
  | { kind: 'nothing' }
  | { kind: 'refused'; reason: string }
  | { kind: 'kept'; mail: { to: string; subject: string; link: string } }
  | { kind: 'send'; lease: Lease; mail: Mail; takenAt: number }

export function createMailWorker(settings: MailWorkerSettings): MailWorker {
  const { database, redis, log, sender, concurrency = 8, duePollMs, claimAfterMs, clock = systemClock } = settings

  async function deliver(outboxId: string, signal: AbortSignal): Promise<Refusal[]> {
    const step = await database.transaction((tx, send) => takeStep(tx, send, settings, outboxId))
    if (step.kind === 'refused') return [{ id: outboxId, reason: step.reason }]
    if (step.kind === 'kept' && sender.name === 'mailbox') sender.announce(step.mail)
    if (step.kind === 'send' && sender.name !== 'mailbox') await attempt(settings, sender, step, signal)
    return []
  }

  const stream = createStreamWorker({
    redis,
    database,
    log,
    kind: 'email',
    batchSize: 1,
    concurrency,
    clock,
    ...(claimAfterMs === undefined ? {} : { claimAfterMs }),
    handle: async ([id], signal) => (id === undefined ? [] : deliver(id, signal)),
  })

  const due = createDueWorker({
    name: 'mails',
    log,
    concurrency,
    clock,
    ...(duePollMs === undefined ? {} : { pollMs: duePollMs }),
    listDue: (limit) => listDue(database.db, limit),
    async deliver(id, signal) {
      const refusals = await deliver(id, signal)
      if (refusals.length > 0) await failOrphan(database.db, id)
    },
  })

  return {
    async run(signal) {
      await Promise.all([stream.run(signal), due.run(signal)])
    },
  }
}

/** Decides, under the outbox row's lock, what is to be done about a mail now, and writes that down. */
async function takeStep(tx: Db, send: Send, settings: MailWorkerSettings, outboxId: string): Promise<Step> {
  const { sender, from, sendTimeoutMs, unknownHoldSeconds, leaseMarginMs = LEASE_MARGIN_MS } = settings
  await send(() => lockOutbox(tx, outboxId))
  const standing = await findStanding(tx, outboxId)
  if (standing === undefined || standing.kind !== 'email') return { kind: 'refused', reason: 'no such mail was asked for' }
  if (standing.done) return { kind: 'nothing' }
  if (standing.state !== null && !UNSETTLED.includes(standing.state)) {
    await finishOutbox(tx, outboxId)
    return { kind: 'nothing' }
  }
  if (standing.state === 'sending') {
    if (standing.lapsed) await holdLapsed(tx, outboxId, unknownHoldSeconds * 1000)
    return { kind: 'nothing' }
  }
  if (!standing.due) return { kind: 'nothing' }

  const request = parseMailRequest(standing.payload)
  if (request === undefined) return { kind: 'refused', reason: 'not a mail request' }
  const composed = await withoutSuppressed(tx, await composeMail(tx, settings, request))
  const addressed: Addressed = {
    outboxId,
    clientId: composed.clientId,
    userId: composed.userId,
    template: request.template,
    recipient: composed.to,
    subject: 'skip' in composed ? '' : composed.subject,
    provider: sender.name,
    request: ('renewed' in composed ? composed.renewed : undefined) ?? request,
  }
  if ('skip' in composed) {
    await insertEnded(tx, addressed, { state: 'failed', lastError: composed.skip })
    return { kind: 'nothing' }
  }
  const { to, subject, text, html, link, renewed } = composed
  if (renewed !== undefined) await replacePayload(tx, outboxId, renewed)
  if (sender.name === 'mailbox') {
    await insertEnded(tx, addressed, { state: 'sent', bodies: { text, html } })
    return { kind: 'kept', mail: { to, subject, link } }
  }
  const takenAt = performance.now()
  const lease = await leaseDelivery(tx, addressed, sendTimeoutMs + leaseMarginMs)
  return { kind: 'send', lease, takenAt, mail: { id: lease.deliveryId, to, from, subject, text, html } }
}

async function withoutSuppressed(tx: Db, composed: Composition): Promise<Composition> {
  if ('skip' in composed) return composed
  const reason = await findSuppression(tx, composed.to)
  return reason === undefined ? composed : { ...composed, skip: `the address is not written to any more: ${reason}` }
}

/** One call of the provider, outside any transaction, and its outcome. */
async function attempt(
  settings: MailWorkerSettings,
  sender: MailSender,
  { lease, mail, takenAt }: Extract<Step, { kind: 'send' }>,
  signal: AbortSignal,
) {
  const { log, sendTimeoutMs, leaseMarginMs = LEASE_MARGIN_MS, clock = systemClock, database } = settings
  // The process was frozen, or the commit took long: others may hold the mail by the time the provider answers.
  const isLate = performance.now() - takenAt > leaseMarginMs / 2
  const outcome = isLate
    ? new SendFailure('passing', 'the worker woke up too late to send')
    : await sender.send(mail, AbortSignal.any([signal, AbortSignal.timeout(sendTimeoutMs)])).catch(asFailure)
  const isOurs = await patiently(() => database.transaction((tx, send) => record(tx, send, settings, lease, mail, outcome)), {
    clock,
    signal,
    onFirst: (error) => log.warn('outcome of a mail could not be recorded, trying again', { delivery: mail.id, error }),
  })
  const fields = { delivery: mail.id, attempt: lease.attempts, provider: sender.name }
  if (!isOurs) log.warn('a late outcome was discarded: the lease had passed on', fields)
  else if (outcome instanceof SendFailure) log.warn('mail not sent', { ...fields, outcome: outcome.outcome, error: outcome.message })
  else log.info('mail sent', fields)
}

/** A fault of ours in a sender says nothing about what the provider has seen. */
const asFailure = (error: unknown) =>
  error instanceof SendFailure ? error : new SendFailure('unknown', `the sender failed: ${String(error)}`, { cause: error })

async function record(
  tx: Db,
  send: Send,
  { maxAttempts = 30, unknownHoldSeconds, firstRetryMs }: MailWorkerSettings,
  lease: Lease,
  mail: Mail,
  outcome: SendFailure | { providerMessageId?: string },
): Promise<boolean> {
  await send(() => lockOutbox(tx, lease.outboxId))
  if (!(outcome instanceof SendFailure)) return markSent(tx, lease, outcome.providerMessageId)
  const { message: lastError, outcome: verdict, options } = outcome
  if (verdict !== 'permanent' && lease.attempts < maxAttempts) {
    return verdict === 'unknown'
      ? markWaiting(tx, lease, { state: 'held', delayMs: unknownHoldSeconds * 1000, lastError })
      : markWaiting(tx, lease, {
          state: 'queued',
          delayMs: retryDelayMs(lease.attempts, options.retryAfterMs, firstRetryMs === undefined ? {} : { firstMs: firstRetryMs }),
          lastError,
        })
  }
  const isOurs = await markFailed(tx, lease, lastError)
  const reason = verdict === 'permanent' ? lastError : `gave up after ${lease.attempts} attempts: ${lastError}`
  if (isOurs) await insertDeadLetter(tx, { kind: 'email', outboxId: lease.outboxId, entry: { delivery_id: mail.id }, reason })
  return isOurs
}
