import { foreignKey, jsonb, pgTable, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { agents } from '~/features/agents/table'
import type { McpTool } from '~/runtime/mcp/types'

export const mcpTools = pgTable(
  'mcp_tools',
  {
    clientId: uuid('client_id').notNull(),
    agentId: uuid('agent_id').notNull(),
    serverKey: text('server_key').notNull(),
    name: text('name').notNull(),
    serverName: text('server_name').notNull(),
    acceptedHash: text('accepted_hash'),
    accepted: jsonb('accepted').$type<McpTool>(),
    acceptedAt: timestamp('accepted_at', { withTimezone: true }),
    offeredHash: text('offered_hash'),
    offered: jsonb('offered').$type<McpTool>(),
    offeredAt: timestamp('offered_at', { withTimezone: true }),
  },
  (table) => [
    primaryKey({ columns: [table.clientId, table.agentId, table.serverKey, table.name] }),
    foreignKey({ columns: [table.clientId, table.agentId], foreignColumns: [agents.clientId, agents.id] }).onDelete('cascade'),
  ],
)
