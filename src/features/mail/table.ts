import { bigint, integer, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

export const DELIVERY_STATES = ['queued', 'sending', 'held', 'sent', 'failed'] as const

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
})
