import { integer, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'
import { bytea } from './bytes-column'

export const attemptCounters = pgTable(
  'attempt_counters',
  {
    subject: bytea('subject').notNull(),
    network: text('network').notNull(),
    count: integer('count').notNull(),
    /** Guesses whose outcome is not known yet, as long as somebody is there to tell it. */
    pending: integer('pending').notNull().default(0),
    pendingUntil: timestamp('pending_until', { withTimezone: true }),
    expiresAt: timestamp('expires_at', { withTimezone: true }).notNull(),
    succeededAt: timestamp('succeeded_at', { withTimezone: true }),
  },
  ({ subject, network }) => [primaryKey({ columns: [subject, network] })],
)
