import { and, asc, desc, eq, gte, lte, sql } from 'drizzle-orm'
import { builtOnce } from '~/platform/built-once'
import type { Db } from '~/platform/db'
import { inBatches } from '~/platform/in-batches'
import { behind, countSome, momentOf, type Position } from '~/platform/keyset'
import type { EmailFilter } from '../schema'
import { deliveries, emailEvents, emailSuppressions } from '../table'

const view = {
  id: deliveries.id,
  client_id: deliveries.clientId,
  user_id: deliveries.userId,
  template: deliveries.template,
  recipient: deliveries.recipient,
  subject: deliveries.subject,
  state: deliveries.state,
  provider: deliveries.provider,
  provider_message_id: deliveries.providerMessageId,
  attempts: deliveries.attempts,
  next_attempt_at: deliveries.nextAttemptAt,
  last_error: deliveries.lastError,
  created_at: deliveries.createdAt,
  sent_at: deliveries.sentAt,
  last_event_at: deliveries.lastEventAt,
}
const at = momentOf(deliveries.createdAt)

const matches = (filter: EmailFilter) =>
  and(
    filter.state === undefined ? undefined : eq(deliveries.state, filter.state),
    filter.template === undefined ? undefined : eq(deliveries.template, filter.template),
    // As addresses are kept.
    filter.recipient === undefined ? undefined : eq(deliveries.recipient, filter.recipient.toLowerCase()),
    filter.client_id === undefined ? undefined : eq(deliveries.clientId, filter.client_id),
    filter.user_id === undefined ? undefined : eq(deliveries.userId, filter.user_id),
    filter.start_date === undefined ? undefined : gte(deliveries.createdAt, new Date(filter.start_date)),
    filter.end_date === undefined ? undefined : lte(deliveries.createdAt, new Date(filter.end_date)),
  )

/** Newest first; behind `after` where it is given. */
export const listDeliveries = (
  db: Db,
  filter: EmailFilter,
  { skip, limit, after }: { skip: number; limit: number; after?: Position | undefined },
) =>
  db
    .select({ ...view, at })
    .from(deliveries)
    .where(and(matches(filter), behind(after, { by: deliveries.createdAt, id: deliveries.id, descending: true })))
    .orderBy(desc(deliveries.createdAt), desc(deliveries.id))
    .offset(after === undefined ? skip : 0)
    .limit(limit)

export const countDeliveries = (db: Db, filter: EmailFilter): Promise<number | undefined> =>
  countSome(db, sql`select from ${deliveries} where ${matches(filter) ?? sql`true`}`)

export async function findDelivery(db: Db, id: string) {
  const [found] = await db
    .select({ ...view, request: deliveries.request })
    .from(deliveries)
    .where(eq(deliveries.id, id))
  return found
}

const MAX_EVENTS = 100

export const listEvents = (db: Db, deliveryId: string) =>
  db
    .select({ event: emailEvents.event, occurred_at: emailEvents.occurredAt, details: emailEvents.details })
    .from(emailEvents)
    .where(eq(emailEvents.deliveryId, deliveryId))
    .orderBy(asc(emailEvents.occurredAt), asc(emailEvents.id))
    .limit(MAX_EVENTS)

/** Why some of these addresses are not written to any more, by the address in lower case. */
export async function findSuppressions(db: Db, emails: string[]): Promise<Map<string, 'bounced' | 'spam'>> {
  const rows = await suppressedOf(db).execute({ emails: JSON.stringify(emails.map((email) => email.toLowerCase())) })
  return new Map(rows.map(({ email, reason }) => [email, reason]))
}

const suppressedOf = builtOnce((db) =>
  db
    .select({ email: emailSuppressions.email, reason: emailSuppressions.reason })
    .from(emailSuppressions)
    .where(sql`${emailSuppressions.email} in (select jsonb_array_elements_text(${sql.placeholder('emails')}::jsonb))`)
    .prepare(''),
)

export const findSuppression = async (db: Db, email: string): Promise<'bounced' | 'spam' | undefined> =>
  (await findSuppressions(db, [email])).get(email.toLowerCase())

export const listSuppressions = (db: Db, { skip, limit }: { skip: number; limit: number }) =>
  db
    .select({ email: emailSuppressions.email, reason: emailSuppressions.reason, created_at: emailSuppressions.createdAt })
    .from(emailSuppressions)
    .orderBy(desc(emailSuppressions.createdAt), asc(emailSuppressions.email))
    .offset(skip)
    .limit(limit)

export async function countSuppressions(db: Db): Promise<number> {
  const [row] = await db.select({ total: sql<number>`count(*)::int` }).from(emailSuppressions)
  return row?.total ?? 0
}

export async function deleteSuppression(tx: Db, email: string): Promise<boolean> {
  const gone = await tx
    .delete(emailSuppressions)
    .where(eq(emailSuppressions.email, email.toLowerCase()))
    .returning({ email: emailSuppressions.email })
  return gone.length > 0
}

/** What was mailed to a client stays, and forgets it with its people: before they are deleted, for each of them would change the rows again. For a transaction. */
export const detachDeliveries = (tx: Db, clientId: string): Promise<void> =>
  inBatches(tx, (limit) => {
    const some = tx.select({ id: deliveries.id }).from(deliveries).where(eq(deliveries.clientId, clientId)).limit(limit)
    return sql`update ${deliveries} set client_id = null, user_id = null where ${deliveries.id} = any(array(${some}))`
  })
