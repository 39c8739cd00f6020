import { Elysia, t } from 'elysia'
import { neverAnswers } from '~/platform/http/docs/responses'
import { Uuid } from '~/platform/http/schema'
import type { OpenSession } from '~/platform/http/session'
import { Budget, BudgetPath, NewBudget, UsageQuery, UsageSum } from './schema'
import type { UsageService } from './service'

export const usageRoutes = ({ usage, session }: { usage: UsageService; session: OpenSession }) =>
  new Elysia({ tags: ['usage'] })
    .use(session)
    .get(
      '/usage',
      ({ principal, query: { client_id, agent_id, from, to, group_by } }) =>
        usage.sum(principal, { clientId: client_id, agentId: agent_id, from, to, groupBy: group_by ?? 'day' }),
      {
        query: UsageQuery,
        response: { 200: t.Array(UsageSum) },
        detail: { summary: 'Tokens and cost of model calls, by day, agent, session, run or model' },
      },
    )
    .get('/budgets/:client_id', ({ principal, params }) => usage.list(principal, params.client_id), {
      params: t.Object({ client_id: Uuid }),
      response: { 200: t.Array(Budget) },
      detail: { summary: "A client's budgets", ...neverAnswers(404) },
    })
    .put('/budgets/:client_id/:scope/:scope_id', ({ principal, params, body }) => usage.set(principal, budgetOf(params), body.limit_usd), {
      params: BudgetPath,
      body: NewBudget,
      response: { 200: Budget },
      detail: { summary: 'Limit what a client, an agent or a session may spend on models; runs that waited for more go on' },
    })
    .delete(
      '/budgets/:client_id/:scope/:scope_id',
      async ({ principal, params, set }) => {
        await usage.remove(principal, budgetOf(params))
        set.status = 204
      },
      { params: BudgetPath, detail: { summary: 'Lift a limit' } },
    )

const budgetOf = ({ client_id, scope, scope_id }: typeof BudgetPath.static) => ({
  clientId: client_id,
  scope,
  scopeId: scope_id,
})
