import { jsonb, pgTable, timestamp, uuid } from 'drizzle-orm/pg-core'
import { clients } from '~/features/clients/table'

export const contactErasures = pgTable('contact_erasures', {
  contactId: uuid('contact_id').primaryKey(),
  clientId: uuid('client_id')
    .notNull()
    .references(() => clients.id, { onDelete: 'cascade' }),
  receipt: jsonb('receipt').$type<unknown>().notNull(),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
})
