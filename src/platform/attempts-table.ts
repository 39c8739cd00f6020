import { integer, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'
import { bytea } from './bytes-column'

export const attemptCounters = pgTable(
  'attempt_counters',
  {
    subject: bytea('subject').notNull(),
    network: text('network').notNull(),
    count: integer('count').notNull(),
    expiresAt: timestamp('expires_at', { withTimezone: true }).notNull(),
    succeededAt: timestamp('succeeded_at', { withTimezone: true }),
  },
  ({ subject, network }) => [primaryKey({ columns: [subject, network] })],
)
