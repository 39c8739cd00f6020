import { pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { clients } from '~/features/clients/table'
import { users } from '~/features/users/table'
import { bytea } from '~/platform/bytes-column'

export const machineKeys = pgTable('machine_keys', {
  id: uuid('id').primaryKey(),
  clientId: uuid('client_id')
    .notNull()
    .references(() => clients.id, { onDelete: 'cascade' }),
  /** The one agent that it is for; null: any of the client. */
  agentId: uuid('agent_id'),
  name: text('name').notNull(),
  scopes: text('scopes').array().notNull(),
  keyHash: bytea('key_hash').notNull(),
  lastFour: text('last_four').notNull(),
  /** The secret before the last rotation, as long as it is good. */
  previousHash: bytea('previous_hash'),
  previousExpiresAt: timestamp('previous_expires_at', { withTimezone: true }),
  expiresAt: timestamp('expires_at', { withTimezone: true }),
  lastUsedAt: timestamp('last_used_at', { withTimezone: true }),
  revokedAt: timestamp('revoked_at', { withTimezone: true }),
  createdBy: uuid('created_by').references(() => users.id, { onDelete: 'set null' }),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  updatedAt: timestamp('updated_at', { withTimezone: true }),
})
