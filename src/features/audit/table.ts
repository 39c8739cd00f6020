import { bigint, jsonb, pgTable, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { bytea } from '~/platform/bytes-column'

/** Partitioned by month of `recorded_at`, see queries/partitions.ts. Rows are only ever appended, erased in part, and dropped by the month. */
export const auditLogs = pgTable(
  'audit_logs',
  {
    id: uuid('id').notNull(),
    chainId: uuid('chain_id').notNull(),
    seq: bigint('seq', { mode: 'number' }).notNull(),
    clientId: uuid('client_id'),
    userId: uuid('user_id'),
    actorUserId: uuid('actor_user_id'),
    action: text('action').notNull(),
    resourceType: text('resource_type').notNull(),
    traceId: text('trace_id'),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull(),
    recordedAt: timestamp('recorded_at', { withTimezone: true }).notNull(),
    resourceId: text('resource_id'),
    details: jsonb('details').$type<Record<string, unknown>>(),
    ipAddress: text('ip_address'),
    userAgent: text('user_agent'),
    salt: bytea('salt'),
    personalHash: bytea('personal_hash').notNull(),
    erasedAt: timestamp('erased_at', { withTimezone: true }),
    prevHash: bytea('prev_hash').notNull(),
    hash: bytea('hash').notNull(),
  },
  (table) => [primaryKey({ columns: [table.id, table.recordedAt] })],
)

export const auditChains = pgTable('audit_chains', {
  id: uuid('id').primaryKey(),
  seq: bigint('seq', { mode: 'number' }).notNull(),
  hash: bytea('hash').notNull(),
  recordedAt: timestamp('recorded_at', { withTimezone: true }).notNull(),
  baseSeq: bigint('base_seq', { mode: 'number' }).notNull(),
  baseHash: bytea('base_hash').notNull(),
})
