import { jsonb, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

export const tools = pgTable('tools', {
  id: uuid('id').primaryKey().defaultRandom(),
  name: text('name').notNull(),
  description: text('description'),
  configJson: jsonb('config_json').$type<Record<string, unknown>>().notNull().default({}),
  environments: jsonb('environments').$type<Record<string, string>>().notNull().default({}),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  updatedAt: timestamp('updated_at', { withTimezone: true }),
})
