import { integer, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { users } from '~/features/users/table'
import { bytea } from '~/platform/bytes-column'

export const authSessions = pgTable('auth_sessions', {
  id: uuid('id').primaryKey(),
  userId: uuid('user_id')
    .notNull()
    .references(() => users.id, { onDelete: 'cascade' }),
  address: text('address').notNull(),
  userAgent: text('user_agent'),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  lastSeenAt: timestamp('last_seen_at', { withTimezone: true }).notNull().defaultNow(),
  expiresAt: timestamp('expires_at', { withTimezone: true }).notNull(),
  revokedAt: timestamp('revoked_at', { withTimezone: true }),
  /** The platform admin whose doing this is: an impersonation. */
  actorUserId: uuid('actor_user_id').references(() => users.id, { onDelete: 'cascade' }),
  actorReason: text('actor_reason'),
  /** SHA-256 of the current refresh token. Null: this sign-in ends with its access token. */
  refreshHash: bytea('refresh_hash'),
  refreshGeneration: integer('refresh_generation').notNull().default(0),
  refreshedAt: timestamp('refreshed_at', { withTimezone: true }),
})
