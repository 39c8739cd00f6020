import { type Static, t } from 'elysia'
import { choice, Timestamp, text, Uuid } from '~/platform/http/schema'
import { EVENTS } from '~/platform/notification'
import { WEBHOOK_STATES } from './table'

const Url = t.String({ minLength: 8, maxLength: 2000, description: 'A public http(s) address. Redirects are not followed.' })
const Events = t.Array(choice(EVENTS), {
  minItems: 1,
  maxItems: EVENTS.length,
  uniqueItems: true,
  description: [
    'Each is told as `{type, timestamp, data}`; of conversations there is nothing in `data`:',
    '- `run.finished`, `run.failed`: `run_id`, `agent_id`, `session_id`, `status`, `created_at`, `started_at`, `finished_at`, `cost_usd`, and `error`, the name of the problem, or null',
    '- `approval.wanted`: `approval_id`, `run_id`, `agent_id`, `agent`, `tool`, `created_at`, `expires_at`',
    '- `budget.reached`, when four fifths are spent or a call was refused: `scope`, `scope_id`, `limit_usd`, `spent_usd`, `reserved_usd`, `reached_at`',
    '- `agent.changed`: `agent_id`, and `change`, which is `create`, `update` or `delete`',
  ].join('\n'),
})
const Description = t.Optional(t.Nullable(text({ maxLength: 500 })))

export const NewWebhook = t.Object(
  { url: Url, events: Events, description: Description },
  { examples: [{ url: 'https://hooks.example.com/evo', events: ['run.finished', 'run.failed'] }] },
)
export type NewWebhook = Static<typeof NewWebhook>

export const WebhookChange = t.Object(
  {
    url: t.Optional(Url),
    events: t.Optional(Events),
    description: Description,
    is_active: t.Optional(t.Boolean()),
  },
  { examples: [{ is_active: false }] },
)
export type WebhookChange = Static<typeof WebhookChange>

export const Webhook = t.Object(
  {
    id: Uuid,
    client_id: Uuid,
    url: t.String(),
    events: t.Array(t.String()),
    description: t.Nullable(t.String()),
    is_active: t.Boolean(),
    created_at: Timestamp,
    updated_at: t.Nullable(Timestamp),
  },
  { title: 'Webhook' },
)
export type Webhook = Static<typeof Webhook>

export const WebhookWithSecret = t.Object(
  {
    ...Webhook.properties,
    secret: t.Nullable(
      t.String({ description: 'Shown once: checks `webhook-signature` as in standardwebhooks.com. Null where a request was repeated.' }),
    ),
  },
  { title: 'WebhookWithSecret' },
)
export type WebhookWithSecret = Static<typeof WebhookWithSecret>

export const WebhookDelivery = t.Object(
  {
    id: t.String({ ...Uuid, description: 'What the receiver sees as `webhook-id`.' }),
    event: t.String(),
    payload: t.Record(t.String(), t.Any()),
    state: choice(WEBHOOK_STATES),
    attempts: t.Integer(),
    next_attempt_at: t.Nullable(Timestamp),
    last_status: t.Nullable(t.Integer()),
    last_error: t.Nullable(t.String()),
    created_at: Timestamp,
    sent_at: t.Nullable(Timestamp),
  },
  { title: 'WebhookDelivery' },
)
export type WebhookDelivery = Static<typeof WebhookDelivery>
