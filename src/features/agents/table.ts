import { foreignKey, integer, jsonb, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { clients } from '~/features/clients/table'
import { folders } from '~/features/folders/table'
import { providerKeys } from '~/features/provider-keys/table'
import { bytea } from '~/platform/bytes-column'

export const AGENT_TYPES = ['llm', 'sequential', 'parallel', 'loop', 'a2a', 'workflow', 'task'] as const
export type AgentType = (typeof AGENT_TYPES)[number]

export const agents = pgTable(
  'agents',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    clientId: uuid('client_id')
      .notNull()
      .references(() => clients.id, { onDelete: 'cascade' }),
    folderId: uuid('folder_id'),
    apiKeyId: uuid('api_key_id'),
    name: text('name').notNull(),
    description: text('description'),
    role: text('role'),
    goal: text('goal'),
    type: text('type', { enum: AGENT_TYPES }).notNull(),
    model: text('model'),
    instruction: text('instruction'),
    agentCardUrl: text('agent_card_url'),
    config: jsonb('config').$type<Record<string, unknown>>().notNull().default({}),
    keyHash: bytea('key_hash').notNull(),
    encryptedKey: text('encrypted_key').notNull(),
    version: integer('version').notNull().default(1),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp('updated_at', { withTimezone: true }),
  },
  (table) => [
    foreignKey({ columns: [table.clientId, table.folderId], foreignColumns: [folders.clientId, folders.id] }),
    foreignKey({ columns: [table.clientId, table.apiKeyId], foreignColumns: [providerKeys.clientId, providerKeys.id] }),
  ],
)
