import { pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { bytea } from './bytes-column'

export const clientKeys = pgTable('client_keys', {
  id: uuid('id').primaryKey(),
  clientId: uuid('client_id').notNull(),
  kekId: text('kek_id').notNull(),
  wrappedKey: bytea('wrapped_key').notNull(),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
})
