import { pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { users } from '~/features/users/table'
import { bytea } from '~/platform/bytes-column'

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
