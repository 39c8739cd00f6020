import { type Static, t } from 'elysia'
import { GivenMoment } from '~/platform/http/moment'
import { choice, Timestamp, Uuid } from '~/platform/http/schema'
import { BUDGET_SCOPES } from './table'

export const GROUPS = ['day', 'agent', 'session', 'run', 'model'] as const
export type UsageGroup = (typeof GROUPS)[number]

export const UsageQuery = t.Object({
  client_id: t.Optional(Uuid),
  agent_id: t.Optional(Uuid),
  from: t.Optional(GivenMoment),
  to: t.Optional(GivenMoment),
  group_by: t.Optional(choice(GROUPS, { description: 'Default: day, in UTC.' })),
})

export const UsageSum = t.Object(
  {
    key: t.String({ description: 'The day, the id or the model.' }),
    calls: t.Number(),
    input_tokens: t.Number({ description: 'Cached ones included.' }),
    output_tokens: t.Number({ description: 'Reasoning included.' }),
    cached_input_tokens: t.Number(),
    reasoning_tokens: t.Number(),
    cost_usd: t.Number(),
  },
  { title: 'UsageSum' },
)
export type UsageSum = Static<typeof UsageSum>

export const Budget = t.Object(
  {
    client_id: Uuid,
    scope: choice(BUDGET_SCOPES),
    scope_id: t.String(),
    limit_usd: t.Number(),
    spent_usd: t.Number(),
    reserved_usd: t.Number({ description: 'Set aside for model calls under way: the most that they may cost.' }),
    reached_at: t.Nullable(Timestamp, {
      description:
        'When four fifths of it were spent, or a call was refused for want of money. The webhooks for `budget.reached` and, by mail, the owners of the client are told then. A higher limit is still to be reached.',
    }),
    created_at: Timestamp,
    updated_at: t.Nullable(Timestamp),
  },
  { title: 'Budget' },
)
export type Budget = Static<typeof Budget>

export const NewBudget = t.Object(
  {
    limit_usd: t.Number({ minimum: 0, maximum: 1_000_000, description: 'All that may ever be spent: raise it to add to what is left.' }),
  },
  { examples: [{ limit_usd: 25 }] },
)

export const BudgetPath = t.Object({
  client_id: Uuid,
  scope: choice(BUDGET_SCOPES),
  scope_id: t.String({ minLength: 1, maxLength: 200 }),
})
