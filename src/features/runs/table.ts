import { type SQL, sql } from 'drizzle-orm'
import { bigint, jsonb, pgTable, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core'

export const RUN_STATUSES = ['queued', 'running', 'waiting', 'needs_reconcile', 'succeeded', 'failed', 'cancelled'] as const
export type RunStatus = (typeof RUN_STATUSES)[number]

/** What a run waits for: the pause's reason and what belongs to it. */
export type Waiting = { reason: string } & Record<string, unknown>

export const runs = pgTable('runs', {
  id: uuid('id').primaryKey(),
  clientId: uuid('client_id').notNull(),
  agentId: uuid('agent_id').notNull(),
  sessionId: text('session_id').notNull(),
  status: text('status', { enum: RUN_STATUSES }).notNull(),
  onDisconnect: text('on_disconnect', { enum: ['continue', 'cancel'] })
    .notNull()
    .default('continue'),
  input: jsonb('input').$type<unknown>().notNull(),
  caller: jsonb('caller').$type<Record<string, unknown>>().notNull().default({}),
  traceId: text('trace_id').notNull(),
  result: jsonb('result').$type<unknown>(),
  error: jsonb('error').$type<unknown>(),
  leaseOwner: text('lease_owner'),
  leaseToken: bigint('lease_token', { mode: 'number' }).notNull().default(0),
  leaseUntil: timestamp('lease_until', { withTimezone: true }),
  waitingFor: jsonb('waiting_for').$type<Waiting>(),
  waitingSince: timestamp('waiting_since', { withTimezone: true }),
  wakeAt: timestamp('wake_at', { withTimezone: true }),
  cancelRequestedAt: timestamp('cancel_requested_at', { withTimezone: true }),
  deadlineAt: timestamp('deadline_at', { withTimezone: true }).notNull(),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  startedAt: timestamp('started_at', { withTimezone: true }),
  finishedAt: timestamp('finished_at', { withTimezone: true }),
})

/** Of a run that has not ended. Spelt as in the condition of `runs_open_idx`, by which PostgreSQL then finds it. */
export const isOpen = (status: SQL) => sql`${status} in ('queued', 'running', 'waiting', 'needs_reconcile')`

export const runSteps = pgTable(
  'run_steps',
  {
    runId: uuid('run_id').notNull(),
    key: text('key').notNull(),
    clientId: uuid('client_id').notNull(),
    kind: text('kind', { enum: ['model', 'tool', 'remote', 'delay', 'value'] }).notNull(),
    effect: text('effect', { enum: ['read-only', 'idempotent', 'unsafe'] }).notNull(),
    state: text('state', { enum: ['open', 'done', 'failed'] }).notNull(),
    leaseToken: bigint('lease_token', { mode: 'number' }).notNull(),
    inputHash: text('input_hash').notNull(),
    result: jsonb('result').$type<unknown>(),
    error: jsonb('error').$type<unknown>(),
    startedAt: timestamp('started_at', { withTimezone: true }).notNull().defaultNow(),
    finishedAt: timestamp('finished_at', { withTimezone: true }),
  },
  (table) => [primaryKey({ columns: [table.runId, table.key] })],
)

export const runEvents = pgTable(
  'run_events',
  {
    runId: uuid('run_id').notNull(),
    firstSeq: bigint('first_seq', { mode: 'number' }).notNull(),
    lastSeq: bigint('last_seq', { mode: 'number' }).notNull(),
    clientId: uuid('client_id').notNull(),
    events: jsonb('events').$type<unknown[]>().notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.runId, table.firstSeq] })],
)
