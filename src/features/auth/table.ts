import { pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'
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
})

export const oneTimeTokens = pgTable('one_time_tokens', {
  id: uuid('id').primaryKey(),
  userId: uuid('user_id')
    .notNull()
    .references(() => users.id, { onDelete: 'cascade' }),
  purpose: text('purpose', { enum: ['verify-email', 'reset-password', 'change-email', 'second-factor'] }).notNull(),
  tokenHash: bytea('token_hash').notNull(),
  /** Of a change of address: where the link goes, and who is told about it. */
  newEmail: text('new_email'),
  formerEmail: text('former_email'),
  expiresAt: timestamp('expires_at', { withTimezone: true }).notNull(),
  usedAt: timestamp('used_at', { withTimezone: true }),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
})
