import { type Clock, systemClock } from '~/platform/clock'
import type { Database, Db, Send } from '~/platform/db'
import { createGathering } from '~/platform/gathering'
import type { Log } from '~/platform/log'
import { insertDeadLetter } from '~/platform/outbox/dead-letters'
import { createDueWorker } from '~/platform/outbox/due-worker'
import { lockOutboxRows } from '~/platform/outbox/lock'
import type { MailKind } from '~/platform/outbox/table'
import { patiently } from '~/platform/patience'
import type { RedisStore } from '~/platform/redis'
import { createStreamWorker, type Refusal } from '~/platform/stream-worker'
import { retryDelayMs } from './backoff'
import type { ComposeSettings } from './compose'
import { failOrphan, type Lease, listDue, markFailed, markSent, markWaiting } from './queries/attempts'
import { type Mailbox, type MailSender, SendFailure } from './sender'
import { type Step, takeSteps } from './steps'

export interface MailWorker {
  /** Works the email streams and sends again what is due, until `signal` aborts; the mails in hand are finished. */
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
  /** Mails in hand at once, of those that somebody waits for; as many again may be repetitions, and a quarter more that nobody waits for. A worker that is killed leaves the outcome of as many unknown. */
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
/** The more there are, the more of them share a transaction. Of SMTP's few connections too many would wait until their time is over. */
export const MAILS_AT_ONCE = { sendgrid: 64, smtp: 8, mailbox: 8 }

/** Of what others wait for; the mails that nobody waits for have fewer of the provider's time. */
const BULK_SHARE = 0.25

/** Mails that somebody waits for and those that nobody does have streams, retries and places in hand of their own: neither stands behind the other. */
export function createMailWorker(settings: MailWorkerSettings): MailWorker {
  const { concurrency = MAILS_AT_ONCE[settings.sender.name] } = settings
  const lanes = [
    createLane(settings, 'email', concurrency),
    createLane(settings, 'email-bulk', Math.max(1, Math.floor(concurrency * BULK_SHARE))),
  ]
  return {
    async run(signal) {
      await Promise.all(lanes.map((lane) => lane.run(signal)))
    },
  }
}

function createLane(settings: MailWorkerSettings, kind: MailKind, concurrency: number): MailWorker {
  const { database, redis, log, sender, duePollMs, claimAfterMs, clock = systemClock } = settings
  const leaseMs = settings.sendTimeoutMs + (settings.leaseMarginMs ?? LEASE_MARGIN_MS)

  const take = createGathering<string, Step>({
    most: concurrency,
    work: (ids) => database.transaction((tx, send) => takeSteps(tx, send, { ...settings, leaseMs, kind }, ids), { byIndex: true }),
  })
  const recordOutcome = createGathering<Attempted, boolean>({
    most: concurrency,
    work: (attempts) => database.transaction((tx, send) => record(tx, send, settings, kind, attempts), { byIndex: true }),
  })

  async function deliver(outboxId: string, signal: AbortSignal): Promise<Refusal[]> {
    const step = await take(outboxId)
    if (step.kind === 'refused') return [{ id: outboxId, reason: step.reason }]
    if (step.kind === 'kept' && sender.name === 'mailbox') sender.announce(step.mail)
    if (step.kind === 'send' && sender.name !== 'mailbox') await attempt(settings, sender, step, recordOutcome, signal)
    return []
  }

  const stream = createStreamWorker({
    redis,
    database,
    log,
    kind,
    batchSize: 1,
    concurrency,
    clock,
    ...(claimAfterMs === undefined ? {} : { claimAfterMs }),
    handle: async ([id], signal) => (id === undefined ? [] : deliver(id, signal)),
  })

  const due = createDueWorker({
    name: kind === 'email' ? 'mails' : 'mails that can wait',
    log,
    concurrency,
    clock,
    ...(duePollMs === undefined ? {} : { pollMs: duePollMs }),
    listDue: (limit) => listDue(database.db, kind, limit),
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

/** One call of the provider, outside any transaction, and its outcome. */
async function attempt(
  settings: MailWorkerSettings,
  sender: MailSender,
  { lease, mail, takenAt }: Extract<Step, { kind: 'send' }>,
  recordOutcome: (attempted: Attempted) => Promise<boolean>,
  signal: AbortSignal,
) {
  const { log, sendTimeoutMs, leaseMarginMs = LEASE_MARGIN_MS, clock = systemClock } = settings
  // The process was frozen, or the commit took long: others may hold the mail by the time the provider answers.
  const isLate = performance.now() - takenAt > leaseMarginMs / 2
  const outcome = isLate
    ? new SendFailure('passing', 'the worker woke up too late to send')
    : await sender.send(mail, AbortSignal.any([signal, AbortSignal.timeout(sendTimeoutMs)])).catch(asFailure)
  const isOurs = await patiently(() => recordOutcome({ lease, outcome }), {
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

interface Attempted {
  lease: Lease
  outcome: SendFailure | { providerMessageId?: string }
}

/** Which of the outcomes count: of the others the lease is gone, and somebody else decides about the mail. */
async function record(tx: Db, send: Send, settings: MailWorkerSettings, kind: MailKind, attempts: Attempted[]): Promise<boolean[]> {
  await send(() =>
    lockOutboxRows(
      tx,
      attempts.map(({ lease }) => lease.outboxId),
    ),
  )
  const sent = attempts.flatMap(({ lease, outcome }) =>
    outcome instanceof SendFailure ? [] : [{ lease, providerMessageId: outcome.providerMessageId }],
  )
  const ended = sent.length === 0 ? new Set<string>() : await markSent(tx, sent)
  const counts: boolean[] = []
  for (const { lease, outcome } of attempts)
    counts.push(outcome instanceof SendFailure ? await recordFailure(tx, settings, kind, lease, outcome) : ended.has(lease.deliveryId))
  return counts
}

async function recordFailure(
  tx: Db,
  { maxAttempts = 30, unknownHoldSeconds, firstRetryMs }: MailWorkerSettings,
  kind: MailKind,
  lease: Lease,
  { message: lastError, outcome: verdict, options }: SendFailure,
): Promise<boolean> {
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
  const entry = { delivery_id: lease.deliveryId }
  if (isOurs) await insertDeadLetter(tx, { kind, outboxId: lease.outboxId, entry, reason })
  return isOurs
}
