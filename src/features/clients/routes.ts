import { Elysia, t } from 'elysia'
import { CursorQuery, cursorPageOf } from '~/platform/http/cursor'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList, problemsOf } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { PageQuery, Uuid } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import { Client, ClientChange, ClientSecurity, NewClient } from './schema'
import type { ClientService } from './service'

const Params = t.Object({ client_id: Uuid })

export const clientRoutes = ({ clients, session }: { clients: ClientService; session: Session }) =>
  new Elysia({ prefix: '/clients', tags: ['clients'] })
    .use(session)
    .post(
      '/',
      async ({ principal, body, request, status }) => {
        // Without the password: a fingerprint of one that somebody made up could be guessed.
        const { password: _, ...named } = body
        return status(201, await clients.create(idempotent(principal, request, named), body))
      },
      {
        body: NewClient,
        response: { 201: Client },
        detail: {
          summary: 'Create a client with its first owner; admins only',
          parameters: [idempotencyKey],
          description: 'The owner confirms the address by mail. The password is for the start: it dies after 7 days.',
        },
      },
    )
    .get(
      '/',
      async ({ principal, query, request, set }) => {
        const page = cursorPageOf(request, query)
        const { items, total, last } = await clients.list(principal, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        query: t.Object({ ...PageQuery, ...CursorQuery }),
        response: { 200: t.Array(Client) },
        detail: { summary: 'List the clients: all for an admin, else the own', responses: countedList },
      },
    )
    .get('/:client_id', ({ principal, params }) => clients.get(principal, params.client_id), {
      params: Params,
      response: { 200: Client },
      detail: { summary: 'Read a client' },
    })
    .put('/:client_id', ({ principal, params, body }) => clients.update(principal, params.client_id, body), {
      params: Params,
      body: ClientChange,
      response: { 200: Client },
      detail: { summary: "Change a client's name and address", responses: problemsOf(409) },
    })
    .get('/:client_id/security', ({ principal, params }) => clients.security(principal, params.client_id), {
      params: Params,
      response: { 200: ClientSecurity },
      detail: { summary: 'Read what a client asks of its people when they sign in' },
    })
    .put('/:client_id/security', ({ principal, params, body }) => clients.secure(principal, params.client_id, body), {
      params: Params,
      body: ClientSecurity,
      response: { 200: ClientSecurity },
      detail: { summary: 'Ask for a second factor from everybody in a client, or no longer; owners only' },
    })
    .delete(
      '/:client_id',
      async ({ principal, params, set }) => {
        await clients.remove(principal, params.client_id)
        set.status = 204
      },
      { params: Params, detail: { summary: 'Delete a client with everything it has; admins only' } },
    )
