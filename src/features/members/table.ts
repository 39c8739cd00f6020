import { pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { clients } from '~/features/clients/table'
import { users } from '~/features/users/table'
import { bytea } from '~/platform/bytes-column'
import { MEMBER_ROLES } from '~/platform/principal'

export const invitations = pgTable('invitations', {
  id: uuid('id').primaryKey(),
  clientId: uuid('client_id')
    .notNull()
    .references(() => clients.id, { onDelete: 'cascade' }),
  email: text('email').notNull(),
  role: text('role', { enum: MEMBER_ROLES }).notNull(),
  tokenHash: bytea('token_hash').notNull(),
  invitedBy: uuid('invited_by').references(() => users.id, { onDelete: 'set null' }),
  expiresAt: timestamp('expires_at', { withTimezone: true }).notNull(),
  acceptedAt: timestamp('accepted_at', { withTimezone: true }),
  revokedAt: timestamp('revoked_at', { withTimezone: true }),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
})
