import { bigint, boolean, integer, jsonb, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/**
 * In their order: what the provider tells moves a mail on, never back. `sending` and `held` (it may have been sent) are ours; `failed` may turn out to have
 * been sent after all.
 */
export const DELIVERY_STATES = [
  'queued',
  'sending',
  'held',
  'failed',
  'sent',
  'processed',
  'deferred',
  'delivered',
  'opened',
  'dropped',
  'bounced',
  'spam',
] as const
export type DeliveryState = (typeof DELIVERY_STATES)[number]
/** Nothing is known yet of what became of it, or of whether it was sent at all. */
export const UNSETTLED: readonly DeliveryState[] = ['queued', 'sending', 'held']

export const deliveries = pgTable('deliveries', {
  id: uuid('id').primaryKey(),
  outboxId: uuid('outbox_id').notNull(),
  clientId: uuid('client_id'),
  userId: uuid('user_id'),
  template: text('template').notNull(),
  recipient: text('recipient').notNull(),
  subject: text('subject').notNull(),
  state: text('state', { enum: DELIVERY_STATES }).notNull(),
  provider: text('provider').notNull(),
  providerMessageId: text('provider_message_id'),
  attempts: integer('attempts').notNull().default(0),
  nextAttemptAt: timestamp('next_attempt_at', { withTimezone: true }),
  leaseToken: bigint('lease_token', { mode: 'number' }).notNull().default(0),
  leaseUntil: timestamp('lease_until', { withTimezone: true }),
  lastError: text('last_error'),
  bodyText: text('body_text'),
  bodyHtml: text('body_html'),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  updatedAt: timestamp('updated_at', { withTimezone: true }),
  sentAt: timestamp('sent_at', { withTimezone: true }),
  request: jsonb('request').$type<Record<string, unknown>>(),
  lastEventAt: timestamp('last_event_at', { withTimezone: true }),
  /** Of the kind `email-bulk`. */
  bulk: boolean('bulk').notNull().default(false),
})

export const emailEvents = pgTable('email_events', {
  id: uuid('id').primaryKey(),
  sgEventId: text('sg_event_id').notNull(),
  deliveryId: uuid('delivery_id').references(() => deliveries.id, { onDelete: 'set null' }),
  event: text('event').notNull(),
  details: jsonb('details').$type<Record<string, unknown>>().notNull(),
  occurredAt: timestamp('occurred_at', { withTimezone: true }).notNull(),
  receivedAt: timestamp('received_at', { withTimezone: true }).notNull().defaultNow(),
})

export const SUPPRESSIONS = ['bounced', 'spam'] as const

export const emailSuppressions = pgTable('email_suppressions', {
  email: text('email').primaryKey(),
  reason: text('reason', { enum: SUPPRESSIONS }).notNull(),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
})
