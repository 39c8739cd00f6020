import { jsonb, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

export const APPROVAL_STATES = ['pending', 'approved', 'rejected', 'expired'] as const
export type ApprovalState = (typeof APPROVAL_STATES)[number]

/** What a run wants to do and needs somebody's consent for. */
export const approvals = pgTable('approvals', {
  id: uuid('id').primaryKey(),
  clientId: uuid('client_id').notNull(),
  runId: uuid('run_id').notNull(),
  agentId: uuid('agent_id').notNull(),
  stepKey: text('step_key').notNull(),
  agent: text('agent').notNull(),
  tool: text('tool').notNull(),
  arguments: jsonb('arguments').$type<Record<string, unknown>>().notNull(),
  editedArguments: jsonb('edited_arguments').$type<Record<string, unknown>>(),
  state: text('state', { enum: APPROVAL_STATES }).notNull().default('pending'),
  reason: text('reason'),
  decidedBy: jsonb('decided_by').$type<Record<string, unknown>>(),
  decidedAt: timestamp('decided_at', { withTimezone: true }),
  expiresAt: timestamp('expires_at', { withTimezone: true }).notNull(),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
})
