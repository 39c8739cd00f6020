import { Elysia, t } from 'elysia'
import { ClientHeader, OptionalClientHeader } from '~/platform/http/client-header'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { choice, described, PageQuery, pageOf, Uuid } from '~/platform/http/schema'
import type { OpenSession } from '~/platform/http/session'
import { Agent, AgentChange, NewAgent } from './schema'
import type { AgentService } from './service'

const Params = t.Object({ agent_id: Uuid })
const ListQuery = t.Object({
  ...PageQuery,
  folder_id: t.Optional(Uuid),
  sort_by: t.Optional(choice(['name', 'created_at'])),
  sort_direction: t.Optional(choice(['asc', 'desc'])),
})

export const agentRoutes = ({ agents, session }: { agents: AgentService; session: OpenSession }) =>
  new Elysia({ prefix: '/agents', tags: ['agents'] })
    .use(session)
    .get(
      '/',
      async ({ principal, headers, query, request, set }) => {
        const page = pageOf(query)
        const { items, total } = await agents.list(principal, headers['x-client-id'], {
          ...page,
          folderId: query.folder_id,
          sortBy: query.sort_by ?? 'name',
          descending: query.sort_direction === 'desc',
        })
        Object.assign(set.headers, pageHeaders(request, page, total))
        return items
      },
      {
        headers: ClientHeader,
        query: ListQuery,
        response: { 200: described(t.Array(Agent)) },
        detail: { summary: "List a client's agents", responses: countedList },
      },
    )
    .post(
      '/',
      async ({ principal, body, request, status }) => status(201, await agents.create(idempotent(principal, request, body), body)),
      {
        body: NewAgent,
        response: { 201: Agent },
        detail: { summary: 'Define an agent', parameters: [idempotencyKey] },
      },
    )
    .get('/:agent_id', ({ principal, headers, params }) => agents.get(principal, params.agent_id, headers['x-client-id']), {
      headers: OptionalClientHeader,
      params: Params,
      response: { 200: Agent },
      detail: { summary: 'Read an agent' },
    })
    .put('/:agent_id', ({ principal, params, body }) => agents.update(principal, params.agent_id, body), {
      params: Params,
      body: AgentChange,
      response: { 200: Agent },
      detail: { summary: 'Change an agent: what is absent stays as it is' },
    })
    .delete(
      '/:agent_id',
      async ({ principal, params, set }) => {
        await agents.remove(principal, params.agent_id)
        set.status = 204
      },
      { params: Params, detail: { summary: 'Delete an agent with its sessions' } },
    )
