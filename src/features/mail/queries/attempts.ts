import { and, eq, inArray, type Placeholder, sql } from 'drizzle-orm'
import { bareArray } from '~/platform/bare-array'
import { builtOnce, sqlOnce } from '~/platform/built-once'
import type { Db } from '~/platform/db'
import { type MailKind, outbox } from '~/platform/outbox/table'
import { deliveries } from '../table'

/** Leases and due times are the database's, so that workers need not agree on the time. `now()` would be the start of the transaction. */
const clock = sql`clock_timestamp()`
const later = (ms: number | Placeholder) => sql`clock_timestamp() + ${ms} * interval '1 millisecond'`

export type Standing = Awaited<ReturnType<ReturnType<typeof standings>['execute']>>[number]

/** The outbox rows, which the transaction has locked, and their deliveries so far, by the outbox id. */
export async function findStandings(tx: Db, outboxIds: string[]): Promise<Map<string, Standing>> {
  const rows = await standings(tx).execute({ ids: bareArray(outboxIds) })
  return new Map(rows.map((row) => [row.outboxId, row]))
}

/**
 * Each is looked up by itself: a join that was planned while the tables were small would go through all of them, also when they have grown, and does so
 * for minutes until their statistics are renewed.
 */
const standings = builtOnce((db) => {
  const asked = sql`unnest(${sql.placeholder('ids')}::uuid[]) as asked (id)`
  const row = db
    .select({ id: outbox.id, kind: outbox.kind, payload: outbox.payload, doneAt: outbox.doneAt })
    .from(outbox)
    .where(sql`${outbox.id} = asked.id`)
    .limit(1)
    .as('row_')
  const delivery = db
    .select({ state: deliveries.state, nextAttemptAt: deliveries.nextAttemptAt, leaseUntil: deliveries.leaseUntil })
    .from(deliveries)
    .where(sql`${deliveries.outboxId} = asked.id`)
    .limit(1)
    .as('delivery')
  return db
    .select({
      outboxId: row.id,
      kind: row.kind,
      payload: row.payload,
      done: sql<boolean>`${row.doneAt} is not null`,
      state: delivery.state,
      due: sql<boolean>`coalesce(${delivery.nextAttemptAt} <= ${clock}, true)`,
      lapsed: sql<boolean>`coalesce(${delivery.leaseUntil} <= ${clock}, true)`,
    })
    .from(asked)
    .crossJoinLateral(row)
    .leftJoinLateral(delivery, sql`true`)
    .prepare('')
})

export interface Addressed {
  outboxId: string
  clientId: string | null
  userId: string | null
  template: string
  recipient: string
  subject: string
  provider: string
  /** Nobody waits for it. */
  bulk: boolean
  /** Ids alone. */
  request: Record<string, unknown>
}

export interface Lease {
  deliveryId: string
  outboxId: string
  leaseToken: number
  attempts: number
}

/**
 * Takes mails for one attempt each. A lease that ends without a word leaves it unknown whether the mail was sent. By the outbox id. A sweep that brings
 * one of these rows back meanwhile finds it in hand: that costs less than putting off the sweep of each.
 */
export async function leaseDeliveries(tx: Db, mails: Addressed[], leaseMs: number): Promise<Map<string, Lease>> {
  const rows = await takeLeases(tx, { mails: JSON.stringify(mails.map((mail) => ({ id: Bun.randomUUIDv7(), ...mail }))), leaseMs })
  return new Map(rows.map((row) => [row.outboxId, { ...row, attempts: Number(row.attempts), leaseToken: Number(row.leaseToken) }]))
}

const takeLeases = sqlOnce<Lease>(() => {
  const until = later(sql.placeholder('leaseMs'))
  return sql`
    insert into deliveries (id, outbox_id, client_id, user_id, template, recipient, subject, provider, bulk, request,
      state, attempts, lease_token, lease_until, next_attempt_at)
    select id, "outboxId", "clientId", "userId", template, recipient, subject, provider, bulk, request, 'sending', 1, 1, ${until}, ${until}
    from jsonb_to_recordset(${sql.placeholder('mails')}::jsonb) as mail (id uuid, "outboxId" uuid, "clientId" uuid, "userId" uuid,
      template text, recipient text, subject text, provider text, bulk boolean, request jsonb)
    on conflict (outbox_id) do update set
      client_id = excluded.client_id, user_id = excluded.user_id, template = excluded.template, recipient = excluded.recipient,
      subject = excluded.subject, provider = excluded.provider, request = excluded.request, state = excluded.state,
      lease_until = excluded.lease_until, next_attempt_at = excluded.next_attempt_at,
      attempts = deliveries.attempts + 1, lease_token = deliveries.lease_token + 1, updated_at = ${clock}
    returning id as "deliveryId", outbox_id as "outboxId", lease_token as "leaseToken", attempts`
})

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

/** Ends those whose lease still holds, and says which: of the others somebody else decides now. By the delivery's id. */
export async function markSent(tx: Db, sent: { lease: Lease; providerMessageId: string | undefined }[]): Promise<Set<string>> {
  const outcomes = sent.map(({ lease, providerMessageId }) => [
    lease.deliveryId,
    { token: lease.leaseToken, messageId: providerMessageId ?? null },
  ])
  const rows = await endSent(tx, {
    ids: bareArray(sent.map(({ lease }) => lease.deliveryId)),
    outcomes: JSON.stringify(Object.fromEntries(outcomes)),
  })
  return new Set(rows.map(({ id }) => id))
}

/** The states stand where no index can be chosen by them: that of the unsettled ones may hold a whole backlog. */
const endSent = sqlOnce<{ id: string }>(() => {
  const outcome = sql`(${sql.placeholder('outcomes')}::jsonb -> deliveries.id::text)`
  return sql`
    with ended as (
      update deliveries set state = 'sent', sent_at = ${clock}, provider_message_id = ${outcome} ->> 'messageId', last_error = null,
        next_attempt_at = null, lease_until = null, updated_at = ${clock}
      where id = any(${sql.placeholder('ids')}::uuid[]) and lease_token = (${outcome} ->> 'token')::bigint
        and case state when 'sending' then true when 'held' then true else false end
      returning id, outbox_id
    ), finished as (
      update outbox set done_at = ${clock} where id in (select outbox_id from ended)
    )
    select id from ended`
})

/** Ends the delivery; ending its outbox row is left to the dead letter. False when the lease is gone: somebody else decides about this mail now. */
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

/** Outbox ids of mails of one class whose time has come, or whose worker's time is over. The states are spelt out for the partial index. */
export async function listDue(db: Db, kind: MailKind, limit: number): Promise<string[]> {
  const rows = await db
    .select({ outboxId: deliveries.outboxId })
    .from(deliveries)
    .where(
      sql`${deliveries.bulk} = ${kind === 'email-bulk'} and ${deliveries.state} in ('queued', 'sending', 'held') and ${deliveries.nextAttemptAt} <= ${clock}`,
    )
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
