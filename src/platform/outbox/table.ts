import { jsonb, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/** In the order in which a sweep publishes them. `email-bulk`: mails that nobody waits for. */
export const OUTBOX_KINDS = ['email', 'audit', 'webhook', 'email-bulk'] as const
export type OutboxKind = (typeof OUTBOX_KINDS)[number]
export type MailKind = Extract<OutboxKind, 'email' | 'email-bulk'>

export const outbox = pgTable('outbox', {
  id: uuid('id').primaryKey(),
  kind: text('kind', { enum: OUTBOX_KINDS }).notNull(),
  clientId: uuid('client_id'),
  payload: jsonb('payload').$type<Record<string, unknown>>().notNull(),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  relayedAt: timestamp('relayed_at', { withTimezone: true }),
  doneAt: timestamp('done_at', { withTimezone: true }),
})

export const deadLetters = pgTable('dead_letters', {
  id: uuid('id').primaryKey(),
  queue: text('queue').notNull(),
  outboxId: uuid('outbox_id'),
  entry: jsonb('entry').$type<Record<string, unknown>>().notNull(),
  reason: text('reason').notNull(),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  replayedAt: timestamp('replayed_at', { withTimezone: true }),
})
