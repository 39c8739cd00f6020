import { integer, pgTable, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core'

export const a2aTasks = pgTable('a2a_tasks', {
  runId: uuid('run_id').primaryKey(),
  clientId: uuid('client_id').notNull(),
  agentId: uuid('agent_id').notNull(),
  contextId: text('context_id').notNull(),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
})

export const a2aPushConfigs = pgTable(
  'a2a_push_configs',
  {
    runId: uuid('run_id').notNull(),
    id: text('id').notNull(),
    clientId: uuid('client_id').notNull(),
    dialect: text('dialect', { enum: ['reference', '0.3', '1.0'] }).notNull(),
    sealed: text('sealed').notNull(),
    state: text('state', { enum: ['pending', 'sent', 'failed'] })
      .notNull()
      .default('pending'),
    attempts: integer('attempts').notNull().default(0),
    dueAt: timestamp('due_at', { withTimezone: true }).notNull().defaultNow(),
    outcome: text('outcome'),
    told: text('told'),
    telling: text('telling'),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.runId, table.id] })],
)
