import { and, eq, inArray, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import { outbox } from '~/platform/outbox/table'
import { deliveries } from '../table'

/** Leases and due times are the database's, so that workers need not agree on the time. `now()` would be the start of the transaction. */
const clock = sql`clock_timestamp()`
const later = (ms: number) => sql`clock_timestamp() + ${ms} * interval '1 millisecond'`

/** The outbox row, which the transaction has locked, and its delivery so far. */
export async function findStanding(tx: Db, outboxId: string) {
  const [row] = await tx
    .select({
      kind: outbox.kind,
      payload: outbox.payload,
      done: sql<boolean>`${outbox.doneAt} is not null`,
      deliveryId: deliveries.id,
      state: deliveries.state,
      attempts: deliveries.attempts,
      due: sql<boolean>`coalesce(${deliveries.nextAttemptAt} <= ${clock}, true)`,
      lapsed: sql<boolean>`coalesce(${deliveries.leaseUntil} <= ${clock}, true)`,
    })
    .from(outbox)
    .leftJoin(deliveries, eq(deliveries.outboxId, outbox.id))
    .where(eq(outbox.id, outboxId))
  return row
}

export interface Addressed {
  outboxId: string
  clientId: string | null
  userId: string | null
  template: string
  recipient: string
  subject: string
  provider: string
  /** Ids alone. */
  request: Record<string, unknown>
}

export interface Lease {
  deliveryId: string
  outboxId: string
  leaseToken: number
  attempts: number
}

/** Takes the mail for one attempt. A lease that ends without a word leaves it unknown whether the mail was sent. */
export async function leaseDelivery(tx: Db, mail: Addressed, leaseMs: number): Promise<Lease> {
  const taken = { ...mail, state: 'sending' as const, leaseUntil: later(leaseMs), nextAttemptAt: later(leaseMs) }
  const [row] = await tx
    .insert(deliveries)
    .values({ id: Bun.randomUUIDv7(), ...taken, attempts: 1, leaseToken: 1 })
    .onConflictDoUpdate({
      target: deliveries.outboxId,
      set: {
        ...taken,
        attempts: sql`${deliveries.attempts} + 1`,
        leaseToken: sql`${deliveries.leaseToken} + 1`,
        updatedAt: clock,
      },
    })
    .returning({ deliveryId: deliveries.id, leaseToken: deliveries.leaseToken, attempts: deliveries.attempts })
  await postponeSweep(tx, mail.outboxId, leaseMs)
  return { ...(row as NonNullable<typeof row>), outboxId: mail.outboxId }
}

export interface Ending {
  state: 'sent' | 'failed'
  lastError?: string
  bodies?: { text: string; html: string }
}

/** Writes a delivery that needs no attempt: kept in the mailbox, or not to be sent any more. Ends the outbox row. */
export async function insertEnded(tx: Db, mail: Addressed, { state, lastError, bodies }: Ending) {
  const ended = {
    ...mail,
    state,
    lastError: lastError ?? null,
    bodyText: bodies?.text ?? null,
    bodyHtml: bodies?.html ?? null,
    sentAt: state === 'sent' ? clock : null,
    leaseUntil: null,
    nextAttemptAt: null,
  }
  await tx
    .insert(deliveries)
    .values({ id: Bun.randomUUIDv7(), ...ended, attempts: state === 'sent' ? 1 : 0 })
    .onConflictDoUpdate({ target: deliveries.outboxId, set: { ...ended, updatedAt: clock } })
  await finishOutbox(tx, mail.outboxId)
}

/** False when the lease is gone: somebody else decides about this mail now. */
export async function markSent(tx: Db, lease: Lease, providerMessageId: string | undefined): Promise<boolean> {
  const isOurs = await settle(tx, lease, {
    state: 'sent',
    sentAt: clock,
    providerMessageId: providerMessageId ?? null,
    lastError: null,
    nextAttemptAt: null,
  })
  if (isOurs) await finishOutbox(tx, lease.outboxId)
  return isOurs
}

/** Ends the delivery; ending its outbox row is left to the dead letter. False as above. */
export const markFailed = (tx: Db, lease: Lease, lastError: string): Promise<boolean> =>
  settle(tx, lease, { state: 'failed', lastError, nextAttemptAt: null })

/** `queued` for another attempt, or `held` because it may have been sent. False as above. */
export async function markWaiting(
  tx: Db,
  lease: Lease,
  { state, delayMs, lastError }: { state: 'queued' | 'held'; delayMs: number; lastError: string },
): Promise<boolean> {
  const isOurs = await settle(tx, lease, { state, lastError, nextAttemptAt: later(delayMs) })
  if (isOurs) await postponeSweep(tx, lease.outboxId, delayMs)
  return isOurs
}

async function settle(tx: Db, { deliveryId, leaseToken }: Lease, change: object): Promise<boolean> {
  const rows = await tx
    .update(deliveries)
    .set({ ...change, leaseUntil: null, updatedAt: clock })
    .where(and(eq(deliveries.id, deliveryId), eq(deliveries.leaseToken, leaseToken), inArray(deliveries.state, ['sending', 'held'])))
    .returning({ id: deliveries.id })
  return rows.length > 0
}

/** The worker vanished between taking the mail and telling: it may have been sent. */
export async function holdLapsed(tx: Db, outboxId: string, holdMs: number) {
  await tx
    .update(deliveries)
    .set({
      state: 'held',
      lastError: 'the worker stopped before it could tell whether the mail was sent',
      nextAttemptAt: sql`${deliveries.leaseUntil} + ${holdMs} * interval '1 millisecond'`,
      leaseUntil: null,
      updatedAt: clock,
    })
    .where(and(eq(deliveries.outboxId, outboxId), eq(deliveries.state, 'sending')))
  await postponeSweep(tx, outboxId, holdMs)
}

export async function finishOutbox(tx: Db, outboxId: string) {
  await tx.update(outbox).set({ doneAt: clock }).where(eq(outbox.id, outboxId))
}

export async function replacePayload(tx: Db, outboxId: string, payload: Record<string, unknown>) {
  await tx.update(outbox).set({ payload }).where(eq(outbox.id, outboxId))
}

/** Unfinished, but on its way: the sweeper need not bring it back before then. */
async function postponeSweep(tx: Db, outboxId: string, ms: number) {
  await tx
    .update(outbox)
    .set({ relayedAt: later(ms) })
    .where(eq(outbox.id, outboxId))
}

/** Outbox ids of mails whose time has come, or whose worker's time is over. The states are spelt out for the partial index. */
export async function listDue(db: Db, limit: number): Promise<string[]> {
  const rows = await db
    .select({ outboxId: deliveries.outboxId })
    .from(deliveries)
    .where(sql`${deliveries.state} in ('queued', 'sending', 'held') and ${deliveries.nextAttemptAt} <= ${clock}`)
    .orderBy(deliveries.nextAttemptAt)
    .limit(limit)
  return rows.map(({ outboxId }) => outboxId)
}

/** Its outbox row is gone, so nobody can say any more what it was. */
export async function failOrphan(db: Db, outboxId: string) {
  await db
    .update(deliveries)
    .set({ state: 'failed', lastError: 'the request for this mail is gone', nextAttemptAt: null, leaseUntil: null, updatedAt: clock })
    .where(eq(deliveries.outboxId, outboxId))
}

/** A mail that was given up starts anew. */
export async function reopenDelivery(tx: Db, outboxId: string) {
  await tx
    .update(deliveries)
    .set({ state: 'queued', attempts: 0, nextAttemptAt: clock, leaseUntil: null, updatedAt: clock })
    .where(and(eq(deliveries.outboxId, outboxId), eq(deliveries.state, 'failed')))
}
