import { bigint, pgTable, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { clients } from '~/features/clients/table'

const count = (name: string) => bigint(name, { mode: 'number' }).notNull()
const clientId = () =>
  uuid('client_id')
    .notNull()
    .references(() => clients.id, { onDelete: 'cascade' })
const createdAt = () => timestamp('created_at', { withTimezone: true }).notNull().defaultNow()

/** One row for each model call. Amounts are billionths of a US dollar, here and below. */
export const usageRecords = pgTable(
  'usage_records',
  {
    runId: uuid('run_id').notNull(),
    stepKey: text('step_key').notNull(),
    clientId: clientId(),
    agentId: uuid('agent_id').notNull(),
    sessionId: text('session_id').notNull(),
    model: text('model').notNull(),
    inputTokens: count('input_tokens'),
    outputTokens: count('output_tokens'),
    cachedInputTokens: count('cached_input_tokens'),
    reasoningTokens: count('reasoning_tokens'),
    costNanos: count('cost_nanos'),
    createdAt: createdAt(),
  },
  (table) => [primaryKey({ columns: [table.runId, table.stepKey] })],
)

export const BUDGET_SCOPES = ['client', 'agent', 'session'] as const
export type BudgetScope = (typeof BUDGET_SCOPES)[number]

export const budgets = pgTable(
  'budgets',
  {
    clientId: clientId(),
    scope: text('scope', { enum: BUDGET_SCOPES }).notNull(),
    scopeId: text('scope_id').notNull(),
    limitNanos: count('limit_nanos'),
    spentNanos: count('spent_nanos').default(0),
    reservedNanos: count('reserved_nanos').default(0),
    /** Since when nearly all is spent, or a call was refused. A higher limit is still to be reached. */
    reachedAt: timestamp('reached_at', { withTimezone: true }),
    createdAt: createdAt(),
    updatedAt: timestamp('updated_at', { withTimezone: true }),
  },
  (table) => [primaryKey({ columns: [table.clientId, table.scope, table.scopeId] })],
)

/** Set aside for a model call that is under way. */
export const budgetReservations = pgTable(
  'budget_reservations',
  {
    runId: uuid('run_id').notNull(),
    stepKey: text('step_key').notNull(),
    clientId: clientId(),
    agentId: uuid('agent_id').notNull(),
    sessionId: text('session_id').notNull(),
    amountNanos: count('amount_nanos'),
    createdAt: createdAt(),
  },
  (table) => [primaryKey({ columns: [table.runId, table.stepKey] })],
)
