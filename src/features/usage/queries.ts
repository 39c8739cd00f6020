import { and, asc, eq, sql } from 'drizzle-orm'
import { agents } from '~/features/agents/table'
import { sessions } from '~/features/sessions/table'
import type { Reach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { UUID } from '~/platform/uuid'
import type { UsageGroup } from './schema'
import { type BudgetScope, budgets, usageRecords } from './table'

const MAX_GROUPS = 1000

export interface UsageFilter {
  agentId: string | undefined
  from: string
  to: string
  groupBy: UsageGroup
}

const KEYS = {
  day: sql<string>`to_char(${usageRecords.createdAt} at time zone 'UTC', 'YYYY-MM-DD')`,
  agent: sql<string>`${usageRecords.agentId}::text`,
  session: sql<string>`${usageRecords.sessionId}`,
  run: sql<string>`${usageRecords.runId}::text`,
  model: sql<string>`${usageRecords.model}`,
}

const total = (column: (typeof usageRecords)['inputTokens']) => sql<number>`sum(${column})::float8`

/** Days in order; of anything else what cost most comes first. */
export const sumUsage = (db: Db, { clientId, agentId: ownAgent }: Reach, { agentId, from, to, groupBy }: UsageFilter) =>
  db
    .select({
      key: KEYS[groupBy],
      calls: sql<number>`count(*)::float8`,
      input_tokens: total(usageRecords.inputTokens),
      output_tokens: total(usageRecords.outputTokens),
      cached_input_tokens: total(usageRecords.cachedInputTokens),
      reasoning_tokens: total(usageRecords.reasoningTokens),
      cost_usd: sql<number>`sum(${usageRecords.costNanos})::float8 / 1e9`,
    })
    .from(usageRecords)
    .where(
      and(
        clientId === null ? undefined : eq(usageRecords.clientId, clientId),
        ownAgent === null ? undefined : eq(usageRecords.agentId, ownAgent),
        agentId === undefined ? undefined : eq(usageRecords.agentId, agentId),
        sql`${usageRecords.createdAt} >= ${from}::timestamptz and ${usageRecords.createdAt} < ${to}::timestamptz`,
      ),
    )
    .groupBy(sql`1`)
    .orderBy(groupBy === 'day' ? sql`1` : sql`sum(${usageRecords.costNanos}) desc, 1`)
    .limit(MAX_GROUPS)

export const listBudgets = (db: Db, clientId: string) =>
  db.select().from(budgets).where(eq(budgets.clientId, clientId)).orderBy(asc(budgets.scope), asc(budgets.scopeId)).limit(MAX_GROUPS)

export type BudgetRow = typeof budgets.$inferSelect

export async function upsertBudget(db: Db, budget: typeof budgets.$inferInsert): Promise<BudgetRow> {
  const [row] = await db
    .insert(budgets)
    .values(budget)
    .onConflictDoUpdate({
      target: [budgets.clientId, budgets.scope, budgets.scopeId],
      set: { limitNanos: budget.limitNanos, updatedAt: sql`now()` },
    })
    .returning()
  // An insert of one row returns one.
  return row as BudgetRow
}

export async function deleteBudget(db: Db, clientId: string, scope: BudgetScope, scopeId: string): Promise<boolean> {
  const gone = await db
    .delete(budgets)
    .where(and(eq(budgets.clientId, clientId), eq(budgets.scope, scope), eq(budgets.scopeId, scopeId)))
    .returning({ scope: budgets.scope })
  return gone.length > 0
}

/** Whether the client has what the budget is for. */
export async function hasScope(db: Db, clientId: string, scope: BudgetScope, scopeId: string): Promise<boolean> {
  if (scope === 'client') return scopeId === clientId
  if (scope === 'agent' && !UUID.test(scopeId)) return false
  const rows =
    scope === 'agent'
      ? await db
          .select({ id: agents.id })
          .from(agents)
          .where(and(eq(agents.clientId, clientId), eq(agents.id, scopeId)))
      : await db
          .select({ id: sessions.id })
          .from(sessions)
          .where(and(eq(sessions.clientId, clientId), eq(sessions.id, scopeId)))
  return rows.length > 0
}
