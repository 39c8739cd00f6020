import { Elysia, t } from 'elysia'
import { CursorQuery, cursorPageOf } from '~/platform/http/cursor'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList, neverAnswers, problemsOf } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { Message, PageQuery, Uuid } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import { NewWebhook, Webhook, WebhookChange, WebhookDelivery, WebhookWithSecret } from './schema'
import type { WebhookService } from './service'

const Client = t.Object({ client_id: Uuid })
const One = t.Object({ client_id: Uuid, webhook_id: Uuid })
const OneDelivery = t.Object({ client_id: Uuid, webhook_id: Uuid, delivery_id: Uuid })

export const webhookRoutes = ({ webhooks, session }: { webhooks: WebhookService; session: Session }) =>
  new Elysia({ prefix: '/clients/:client_id/webhooks', tags: ['webhooks'] })
    .use(session)
    .get(
      '/',
      async ({ principal, params, query, request, set }) => {
        const page = cursorPageOf(request, query)
        const { items, total, last } = await webhooks.list(principal, params.client_id, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        params: Client,
        query: t.Object({ ...PageQuery, ...CursorQuery }),
        response: { 200: t.Array(Webhook) },
        detail: { summary: 'List the webhooks of a client', responses: countedList, ...neverAnswers(404) },
      },
    )
    .post(
      '/',
      async ({ principal, params, body, request, status }) =>
        status(201, await webhooks.create(idempotent(principal, request, body), params.client_id, body)),
      {
        params: Client,
        body: NewWebhook,
        response: { 201: WebhookWithSecret },
        detail: { summary: 'Be told of events; the secret is shown this once', responses: problemsOf(409), parameters: [idempotencyKey] },
      },
    )
    .get('/:webhook_id', ({ principal, params }) => webhooks.get(principal, params.client_id, params.webhook_id), {
      params: One,
      response: { 200: Webhook },
      detail: { summary: 'One webhook' },
    })
    .put('/:webhook_id', ({ principal, params, body }) => webhooks.update(principal, params.client_id, params.webhook_id, body), {
      params: One,
      body: WebhookChange,
      response: { 200: Webhook },
      detail: { summary: 'Change a webhook, or switch it off; what is absent stays' },
    })
    .delete(
      '/:webhook_id',
      async ({ principal, params, set }) => {
        await webhooks.remove(principal, params.client_id, params.webhook_id)
        set.status = 204
      },
      { params: One, detail: { summary: 'Delete a webhook with its deliveries' } },
    )
    .get(
      '/:webhook_id/deliveries',
      async ({ principal, params, query, request, set }) => {
        const page = cursorPageOf(request, query)
        const { items, total, last } = await webhooks.listDeliveries(principal, params.client_id, params.webhook_id, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        params: One,
        query: t.Object({ ...PageQuery, ...CursorQuery }),
        response: { 200: t.Array(WebhookDelivery) },
        detail: { summary: 'What was sent, newest first', responses: countedList },
      },
    )
    .post(
      '/:webhook_id/deliveries/:delivery_id/replay',
      async ({ principal, params, request, status }) => {
        const actor = idempotent(principal, request, undefined)
        return status(202, await webhooks.replay(actor, params.client_id, params.webhook_id, params.delivery_id))
      },
      {
        params: OneDelivery,
        response: { 202: Message },
        detail: { summary: 'Send an event again', parameters: [idempotencyKey] },
      },
    )
