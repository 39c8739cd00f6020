import { foreignKey, integer, jsonb, pgTable, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core'
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
    shareKeyHash: bytea('share_key_hash'),
    shareEncryptedKey: text('share_encrypted_key'),
    version: integer('version').notNull().default(1),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp('updated_at', { withTimezone: true }),
  },
  (table) => [
    foreignKey({ columns: [table.clientId, table.folderId], foreignColumns: [folders.clientId, folders.id] }),
    foreignKey({ columns: [table.clientId, table.apiKeyId], foreignColumns: [providerKeys.clientId, providerKeys.id] }),
  ],
)

export const agentVersions = pgTable(
  'agent_versions',
  {
    clientId: uuid('client_id').notNull(),
    agentId: uuid('agent_id').notNull(),
    version: integer('version').notNull(),
    definition: jsonb('definition').$type<Record<string, unknown>>().notNull(),
    madeAt: timestamp('made_at', { withTimezone: true }).notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.clientId, table.agentId, table.version] }),
    foreignKey({ columns: [table.clientId, table.agentId], foreignColumns: [agents.clientId, agents.id] }).onDelete('cascade'),
  ],
)
