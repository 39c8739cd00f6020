import { bigint, foreignKey, integer, jsonb, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { agents } from '~/features/agents/table'
import { contacts } from '~/features/contacts/table'

export const sessions = pgTable(
  'sessions',
  {
    id: text('id').primaryKey(),
    clientId: uuid('client_id').notNull(),
    agentId: uuid('agent_id').notNull(),
    externalId: text('external_id').notNull(),
    contactId: uuid('contact_id'),
    state: jsonb('state').$type<Record<string, unknown>>().notNull().default({}),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    foreignKey({ columns: [table.clientId, table.agentId], foreignColumns: [agents.clientId, agents.id] }).onDelete('cascade'),
    foreignKey({ columns: [table.clientId, table.contactId], foreignColumns: [contacts.clientId, contacts.id] }),
  ],
)

export const events = pgTable('events', {
  id: uuid('id').primaryKey(),
  position: bigint('position', { mode: 'number' }).generatedAlwaysAsIdentity(),
  clientId: uuid('client_id').notNull(),
  sessionId: text('session_id').notNull(),
  runId: uuid('run_id'),
  ordinal: integer('ordinal'),
  author: text('author').notNull(),
  content: jsonb('content').$type<Record<string, unknown>>().notNull(),
  actions: jsonb('actions').$type<Record<string, unknown>>().notNull().default({}),
  branch: text('branch'),
  errorCode: text('error_code'),
  errorMessage: text('error_message'),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
})
