import { and, eq, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import { outbox } from '~/platform/outbox/table'
import { webhookDeliveries, webhooks } from '../table'

const clock = sql`clock_timestamp()`
const later = (ms: number) => sql`clock_timestamp() + ${ms} * interval '1 millisecond'`

/** The outbox row, which the transaction has locked, its delivery so far, and where it is to go. */
export async function findStanding(tx: Db, id: string) {
  const [row] = await tx
    .select({
      kind: outbox.kind,
      done: sql<boolean>`${outbox.doneAt} is not null`,
      state: webhookDeliveries.state,
      isDue: sql<boolean>`coalesce(${webhookDeliveries.nextAttemptAt} <= ${clock}, true)`,
      payload: webhookDeliveries.payload,
      clientId: webhooks.clientId,
      webhookId: webhooks.id,
      url: webhooks.url,
      sealedSecret: webhooks.sealedSecret,
      isActive: webhooks.isActive,
    })
    .from(outbox)
    .leftJoin(webhookDeliveries, eq(webhookDeliveries.id, outbox.id))
    .leftJoin(webhooks, and(eq(webhooks.clientId, webhookDeliveries.clientId), eq(webhooks.id, webhookDeliveries.webhookId)))
    .where(eq(outbox.id, id))
  return row
}

export interface Lease {
  id: string
  leaseToken: number
  attempts: number
}

/** Takes the delivery for one attempt. A lease that ends without a word makes it due again: receivers know a repetition by its id. */
export async function leaseDelivery(tx: Db, id: string, leaseMs: number): Promise<Lease> {
  const [row] = await tx
    .update(webhookDeliveries)
    .set({
      state: 'sending',
      attempts: sql`${webhookDeliveries.attempts} + 1`,
      leaseToken: sql`${webhookDeliveries.leaseToken} + 1`,
      leaseUntil: later(leaseMs),
      nextAttemptAt: later(leaseMs),
      updatedAt: clock,
    })
    .where(eq(webhookDeliveries.id, id))
    .returning({ id: webhookDeliveries.id, leaseToken: webhookDeliveries.leaseToken, attempts: webhookDeliveries.attempts })
  await postpone(tx, id, leaseMs)
  return row as NonNullable<typeof row>
}

export interface Outcome {
  state: 'sent' | 'failed' | 'queued'
  status: number | null
  error: string | null
  delayMs?: number
}

/** False when the lease is gone: somebody else decides about this delivery now. */
export async function recordOutcome(tx: Db, { id, leaseToken }: Lease, { state, status, error, delayMs = 0 }: Outcome): Promise<boolean> {
  const rows = await tx
    .update(webhookDeliveries)
    .set({
      state,
      lastStatus: status,
      lastError: error,
      nextAttemptAt: state === 'queued' ? later(delayMs) : null,
      sentAt: state === 'sent' ? clock : null,
      leaseUntil: null,
      updatedAt: clock,
    })
    .where(and(eq(webhookDeliveries.id, id), eq(webhookDeliveries.leaseToken, leaseToken), eq(webhookDeliveries.state, 'sending')))
    .returning({ id: webhookDeliveries.id })
  if (rows.length === 0) return false
  if (state === 'queued') await postpone(tx, id, delayMs)
  else if (state === 'sent') await finish(tx, id)
  return true
}

export async function finish(tx: Db, id: string) {
  await tx.update(outbox).set({ doneAt: clock }).where(eq(outbox.id, id))
}

/** The webhook is gone or switched off: there is nobody to tell. */
export async function abandon(tx: Db, id: string, error: string) {
  await tx
    .update(webhookDeliveries)
    .set({ state: 'failed', lastError: error, nextAttemptAt: null, leaseUntil: null, updatedAt: clock })
    .where(eq(webhookDeliveries.id, id))
  await finish(tx, id)
}

/** A delivery that was given up starts anew. */
export async function reopenWebhookDelivery(tx: Db, id: string) {
  await tx
    .update(webhookDeliveries)
    .set({ state: 'queued', attempts: 0, nextAttemptAt: clock, leaseUntil: null, updatedAt: clock })
    .where(and(eq(webhookDeliveries.id, id), eq(webhookDeliveries.state, 'failed')))
}

/** Deliveries whose time has come, or whose worker's time is over. The states are spelt out for the partial index. */
export async function listDue(db: Db, limit: number): Promise<string[]> {
  const rows = await db
    .select({ id: webhookDeliveries.id })
    .from(webhookDeliveries)
    .where(sql`${webhookDeliveries.state} in ('queued', 'sending') and ${webhookDeliveries.nextAttemptAt} <= ${clock}`)
    .orderBy(webhookDeliveries.nextAttemptAt)
    .limit(limit)
  return rows.map(({ id }) => id)
}

/** Unfinished, but on its way: the sweeper need not bring it back before then. */
async function postpone(tx: Db, id: string, ms: number) {
  await tx
    .update(outbox)
    .set({ relayedAt: later(ms) })
    .where(eq(outbox.id, id))
}
