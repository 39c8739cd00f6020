import { authorize, authorizeReach } from '~/platform/access'
import type { Clock } from '~/platform/clock'
import type { Db } from '~/platform/db'
import { notFound } from '~/platform/errors'
import type { Principal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { type BudgetRow, deleteBudget, hasScope, listBudgets, sumUsage, upsertBudget } from './queries'
import type { Budget, UsageGroup, UsageSum } from './schema'
import type { BudgetScope } from './table'

export type UsageService = ReturnType<typeof createUsageService>

interface Deps {
  db: Db
  write: Write
  clock: Clock
  /** Lets the client's runs that lack money try again, within the transaction that gives it. */
  wakeUnpaid(tx: Db, clientId: string): Promise<unknown>
}

export interface BudgetOf {
  clientId: string
  scope: BudgetScope
  scopeId: string
}

interface Period {
  clientId: string | undefined
  agentId: string | undefined
  from: string | undefined
  to: string | undefined
  groupBy: UsageGroup
}

const DEFAULT_PERIOD_MS = 30 * 86_400_000

export function createUsageService({ db, write, clock, wakeUnpaid }: Deps) {
  return {
    /** What was used from `from` until before `to`; the last 30 days unless told. */
    async sum(principal: Principal, { clientId, agentId, from, to, groupBy }: Period): Promise<UsageSum[]> {
      const reach = authorizeReach(principal, 'read', 'usage')
      if (clientId !== undefined) authorize(principal, 'read', { kind: 'usage', clientId, agentId: reach.agentId })
      const period = {
        agentId,
        groupBy,
        from: from ?? new Date(clock.now() - DEFAULT_PERIOD_MS).toISOString(),
        to: to ?? new Date(clock.now() + 60_000).toISOString(),
      }
      return sumUsage(db, { clientId: clientId ?? reach.clientId, agentId: reach.agentId }, period)
    },

    async list(principal: Principal, clientId: string): Promise<Budget[]> {
      authorize(principal, 'read', { kind: 'usage', clientId })
      return (await listBudgets(db, clientId)).map(shown)
    },

    /** Sets the limit; a higher one lets the runs that waited for it go on. */
    async set(principal: Principal, { clientId, scope, scopeId }: BudgetOf, limitUsd: number): Promise<Budget> {
      authorize(principal, 'write', { kind: 'usage', clientId })
      const budget = await write(principal, async ({ tx, audit }) => {
        if (!(await hasScope(tx, clientId, scope, scopeId))) throw notFound(`The ${scope} of the budget`)
        const row = await upsertBudget(tx, { clientId, scope, scopeId, limitNanos: Math.round(limitUsd * 1e9) })
        await wakeUnpaid(tx, clientId)
        audit({ action: 'update', resourceType: 'budget', resourceId: scopeId, clientId, details: { scope, limit_usd: limitUsd } })
        return row
      })
      return shown(budget)
    },

    async remove(principal: Principal, { clientId, scope, scopeId }: BudgetOf): Promise<void> {
      authorize(principal, 'write', { kind: 'usage', clientId })
      await write(principal, async ({ tx, audit }) => {
        if (!(await deleteBudget(tx, clientId, scope, scopeId))) throw notFound('Budget')
        await wakeUnpaid(tx, clientId)
        audit({ action: 'delete', resourceType: 'budget', resourceId: scopeId, clientId, details: { scope } })
      })
    },
  }
}

const shown = ({ clientId, scope, scopeId, ...row }: BudgetRow): Budget => ({
  client_id: clientId,
  scope,
  scope_id: scopeId,
  limit_usd: row.limitNanos / 1e9,
  spent_usd: row.spentNanos / 1e9,
  reserved_usd: row.reservedNanos / 1e9,
  reached_at: row.reachedAt,
  created_at: row.createdAt,
  updated_at: row.updatedAt,
})
