import { and, asc, desc, eq, sql } from 'drizzle-orm'
import { sqlOnce } from '~/platform/built-once'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { behind, momentOf } from '~/platform/keyset'
import type { Notification } from '~/platform/notification'
import { webhookDeliveries, webhooks } from '../table'

const view = {
  id: webhooks.id,
  client_id: webhooks.clientId,
  url: webhooks.url,
  events: webhooks.events,
  description: webhooks.description,
  is_active: webhooks.isActive,
  created_at: webhooks.createdAt,
  updated_at: webhooks.updatedAt,
}
const one = (clientId: string, id: string) => and(eq(webhooks.clientId, clientId), eq(webhooks.id, id))

export async function insertWebhook(
  tx: Db,
  webhook: Pick<typeof webhooks.$inferInsert, 'id' | 'clientId' | 'url' | 'events' | 'description' | 'sealedSecret'>,
) {
  const [row] = await tx.insert(webhooks).values(webhook).returning(view)
  return row as NonNullable<typeof row>
}

export const listWebhooks = (db: Db, clientId: string, { skip, limit, after }: Page) =>
  db
    .select({ ...view, at: momentOf(webhooks.createdAt) })
    .from(webhooks)
    .where(and(eq(webhooks.clientId, clientId), behind(after, { by: webhooks.createdAt, id: webhooks.id })))
    .orderBy(asc(webhooks.createdAt), asc(webhooks.id))
    .offset(skip)
    .limit(limit)

export async function countWebhooks(db: Db, clientId: string): Promise<number> {
  const [row] = await db.select({ total: sql<number>`count(*)::int` }).from(webhooks).where(eq(webhooks.clientId, clientId))
  return row?.total ?? 0
}

export async function findWebhook(db: Db, clientId: string, id: string) {
  const [row] = await db.select(view).from(webhooks).where(one(clientId, id))
  return row
}

export async function updateWebhook(tx: Db, clientId: string, id: string, change: Partial<typeof webhooks.$inferInsert>) {
  const [row] = await tx
    .update(webhooks)
    .set({ ...change, updatedAt: sql`now()` })
    .where(one(clientId, id))
    .returning(view)
  return row
}

export async function deleteWebhook(tx: Db, clientId: string, id: string) {
  const [row] = await tx.delete(webhooks).where(one(clientId, id)).returning(view)
  return row
}

/** A delivery for each webhook that wants an event; ids are made there, so that one statement does. */
export function insertDeliveries(tx: Db, notifications: Notification[], timestamp: string): Promise<{ id: string }[]> {
  const wanted = notifications.map(({ type, clientId, data }) => ({ type, client_id: clientId, payload: { type, timestamp, data } }))
  return insertWanted(tx, { wanted: JSON.stringify(wanted) })
}

const insertWanted = sqlOnce<{ id: string }>(
  () => sql`
    with told as (
      insert into webhook_deliveries (id, client_id, webhook_id, event, payload, state, next_attempt_at)
      select gen_random_uuid(), webhooks.client_id, webhooks.id, wanted.type, wanted.payload, 'queued', now()
      from jsonb_to_recordset(${sql.placeholder('wanted')}::jsonb) as wanted (type text, client_id uuid, payload jsonb)
      join webhooks on webhooks.client_id = wanted.client_id and webhooks.is_active and wanted.type = any(webhooks.events)
      returning id, client_id
    )
    insert into outbox (id, kind, client_id, payload) select id, 'webhook', client_id, '{}' from told returning id`,
)

const delivery = {
  id: webhookDeliveries.id,
  event: webhookDeliveries.event,
  payload: webhookDeliveries.payload,
  state: webhookDeliveries.state,
  attempts: webhookDeliveries.attempts,
  next_attempt_at: webhookDeliveries.nextAttemptAt,
  last_status: webhookDeliveries.lastStatus,
  last_error: webhookDeliveries.lastError,
  created_at: webhookDeliveries.createdAt,
  sent_at: webhookDeliveries.sentAt,
}
const ofWebhook = (clientId: string, webhookId: string) =>
  and(eq(webhookDeliveries.clientId, clientId), eq(webhookDeliveries.webhookId, webhookId))

export const listDeliveries = (db: Db, clientId: string, webhookId: string, { skip, limit, after }: Page) =>
  db
    .select({ ...delivery, at: momentOf(webhookDeliveries.createdAt) })
    .from(webhookDeliveries)
    .where(
      and(ofWebhook(clientId, webhookId), behind(after, { by: webhookDeliveries.createdAt, id: webhookDeliveries.id, descending: true })),
    )
    .orderBy(desc(webhookDeliveries.createdAt), desc(webhookDeliveries.id))
    .offset(skip)
    .limit(limit)

export async function countDeliveries(db: Db, clientId: string, webhookId: string): Promise<number> {
  const [row] = await db.select({ total: sql<number>`count(*)::int` }).from(webhookDeliveries).where(ofWebhook(clientId, webhookId))
  return row?.total ?? 0
}

/** The event again, as a delivery of its own with the same payload. Undefined when there is no such delivery. */
export async function copyDelivery(tx: Db, clientId: string, webhookId: string, id: string): Promise<string | undefined> {
  const [row] = await tx.execute<{ id: string }>(sql`
    insert into webhook_deliveries (id, client_id, webhook_id, event, payload, state, next_attempt_at)
    select gen_random_uuid(), client_id, webhook_id, event, payload, 'queued', now() from webhook_deliveries
    where client_id = ${clientId} and webhook_id = ${webhookId} and id = ${id}
    returning id`)
  return row?.id
}
