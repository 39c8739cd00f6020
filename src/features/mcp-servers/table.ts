import { boolean, jsonb, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

export const mcpServers = pgTable('mcp_servers', {
  id: uuid('id').primaryKey().defaultRandom(),
  name: text('name').notNull(),
  description: text('description'),
  configType: text('config_type', { enum: ['studio', 'sse'] })
    .notNull()
    .default('studio'),
  configJson: jsonb('config_json').$type<Record<string, unknown>>().notNull().default({}),
  environments: jsonb('environments').$type<Record<string, string>>().notNull().default({}),
  tools: jsonb('tools').$type<unknown[]>().notNull().default([]),
  type: text('type', { enum: ['official', 'community'] })
    .notNull()
    .default('official'),
  trusted: boolean('trusted').notNull().default(false),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  updatedAt: timestamp('updated_at', { withTimezone: true }),
})
