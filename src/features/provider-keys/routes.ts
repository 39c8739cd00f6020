import { Elysia, t } from 'elysia'
import { ClientHeader } from '~/platform/http/client-header'
import { CursorQuery, cursorPageOf } from '~/platform/http/cursor'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { choice, PageQuery, Uuid } from '~/platform/http/schema'
import type { OpenSession } from '~/platform/http/session'
import { KeyCheck, NewProviderKey, ProviderKey, ProviderKeyChange } from './schema'
import type { ProviderKeyService } from './service'

const Params = t.Object({ key_id: Uuid })
const Sorted = t.Object({
  ...PageQuery,
  ...CursorQuery,
  sort_by: t.Optional(choice(['name', 'provider', 'created_at'])),
  sort_direction: t.Optional(choice(['asc', 'desc'])),
})

export const providerKeyRoutes = ({ providerKeys, session }: { providerKeys: ProviderKeyService; session: OpenSession }) =>
  new Elysia({ prefix: '/agents/apikeys', tags: ['provider keys'] })
    .use(session)
    .post(
      '/',
      async ({ principal, body, request, status }) => status(201, await providerKeys.create(idempotent(principal, request, body), body)),
      {
        body: NewProviderKey,
        response: { 201: ProviderKey },
        detail: { summary: "Store a provider's key; it is never shown again", parameters: [idempotencyKey] },
      },
    )
    .get(
      '/',
      async ({ principal, headers, query, request, set }) => {
        const page = cursorPageOf(request, query, { by: query.sort_by === 'created_at' ? 'moment' : 'text' })
        const { items, total, last } = await providerKeys.list(principal, headers['x-client-id'], {
          ...page,
          sortBy: query.sort_by ?? 'name',
          descending: query.sort_direction === 'desc',
        })
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        headers: ClientHeader,
        query: Sorted,
        response: { 200: t.Array(ProviderKey) },
        detail: { summary: 'List the active keys', responses: countedList },
      },
    )
    .get('/:key_id', ({ principal, headers, params }) => providerKeys.get(principal, headers['x-client-id'], params.key_id), {
      headers: ClientHeader,
      params: Params,
      response: { 200: ProviderKey },
      detail: { summary: 'Read a key, without its value' },
    })
    .put(
      '/:key_id',
      ({ principal, headers, params, body }) => providerKeys.update(principal, headers['x-client-id'], params.key_id, body),
      {
        headers: ClientHeader,
        params: Params,
        body: ProviderKeyChange,
        response: { 200: ProviderKey },
        detail: { summary: 'Change a key; null, absent and an empty value mean unchanged' },
      },
    )
    .post(
      '/:key_id/check',
      ({ principal, headers, params, request }) =>
        providerKeys.check(idempotent(principal, request, null), headers['x-client-id'], params.key_id, request.signal),
      {
        headers: ClientHeader,
        params: Params,
        response: { 200: KeyCheck },
        detail: { summary: 'Ask the provider whether it takes the key, with a call that costs nothing', parameters: [idempotencyKey] },
      },
    )
    .delete(
      '/:key_id',
      async ({ principal, headers, params, set }) => {
        await providerKeys.remove(principal, headers['x-client-id'], params.key_id)
        set.status = 204
      },
      { headers: ClientHeader, params: Params, detail: { summary: 'Switch a key off' } },
    )
