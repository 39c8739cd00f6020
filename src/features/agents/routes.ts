import { Elysia, t } from 'elysia'
import type { FolderService } from '~/features/folders/service'
import { ClientHeader, OptionalClientHeader } from '~/platform/http/client-header'
import { CursorQuery, cursorPageOf } from '~/platform/http/cursor'
import { idempotencyKey, ifMatch } from '~/platform/http/docs/parameters'
import { countedList, problemsOf } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { choice, described, idOrNull, PageQuery, Uuid } from '~/platform/http/schema'
import type { OpenSession } from '~/platform/http/session'
import { configGuide } from './config-guide'
import { Agent, AgentChange, NewAgent } from './schema'
import type { AgentService, ShownAgent } from './service'

const Params = t.Object({ agent_id: Uuid })
const ListQuery = t.Object({
  ...PageQuery,
  ...CursorQuery,
  folder_id: t.Optional(Uuid),
  sort_by: t.Optional(choice(['name', 'created_at'])),
  sort_direction: t.Optional(choice(['asc', 'desc'])),
})

export const agentRoutes = ({ agents, folders, session }: { agents: AgentService; folders: FolderService; session: OpenSession }) =>
  new Elysia({ prefix: '/agents', tags: ['agents'] })
    .use(session)
    .get(
      '/',
      async ({ principal, headers, query, request, set }) => {
        const page = cursorPageOf(request, query, { by: query.sort_by === 'created_at' ? 'moment' : 'text' })
        const { items, total, last } = await agents.list(principal, headers['x-client-id'], {
          ...page,
          folderId: query.folder_id,
          sortBy: query.sort_by ?? 'name',
          descending: query.sort_direction === 'desc',
        })
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        headers: ClientHeader,
        query: ListQuery,
        response: { 200: described(t.Array(Agent)) },
        detail: { summary: "List a client's agents", responses: countedList },
      },
    )
    .get(
      '/folders/:folder_id/agents',
      async ({ principal, headers, params, query, request, set }) => {
        const clientId = headers['x-client-id']
        await folders.get(principal, clientId, params.folder_id)
        const page = cursorPageOf(request, query, { by: 'text' })
        const filter = { folderId: params.folder_id, sortBy: 'name', descending: false } as const
        const { items, total, last } = await agents.list(principal, clientId, { ...page, ...filter })
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        headers: ClientHeader,
        params: t.Object({ folder_id: Uuid }),
        query: t.Object({ ...PageQuery, ...CursorQuery }),
        response: { 200: described(t.Array(Agent)) },
        detail: { tags: ['folders'], summary: 'List the agents in a folder, by name', responses: countedList },
      },
    )
    .post(
      '/',
      async ({ principal, body, request, set, status }) =>
        status(201, tagged(set, await agents.create(idempotent(principal, request, body), body))),
      {
        body: NewAgent,
        response: { 201: Agent },
        detail: { summary: 'Define an agent', description: configGuide(), parameters: [idempotencyKey] },
      },
    )
    .get(
      '/:agent_id',
      async ({ principal, headers, params, set }) => tagged(set, await agents.get(principal, params.agent_id, headers['x-client-id'])),
      {
        headers: OptionalClientHeader,
        params: Params,
        response: { 200: Agent },
        detail: { summary: 'Read an agent' },
      },
    )
    .put(
      '/:agent_id',
      async ({ principal, params, body, request, set }) =>
        tagged(set, await agents.update(principal, params.agent_id, body, { ifMatch: request.headers.get('if-match') })),
      {
        params: Params,
        body: AgentChange,
        response: { 200: Agent },
        detail: {
          summary: 'Change an agent: what is absent stays as it is',
          description:
            'Secrets in `config` are shown as `__secret__:` and their end; sent back so, they stay. `POST /agents/` says what it may hold.',
          parameters: [ifMatch],
          responses: problemsOf(412),
        },
      },
    )
    .put(
      '/:agent_id/folder',
      async ({ principal, headers, params, query, set }) =>
        tagged(set, await agents.move(principal, headers['x-client-id'], params.agent_id, idOrNull(query.folder_id))),
      {
        headers: ClientHeader,
        params: Params,
        query: t.Object({ folder_id: t.Optional(t.Union([Uuid, t.Literal('')])) }),
        body: t.Unknown({ description: 'Not read.' }),
        response: { 200: Agent },
        detail: { summary: 'Move an agent into a folder; without `folder_id` out of any' },
      },
    )
    .delete(
      '/:agent_id',
      async ({ principal, params, request, set }) => {
        await agents.remove(principal, params.agent_id, { ifMatch: request.headers.get('if-match') })
        set.status = 204
      },
      {
        params: Params,
        detail: {
          summary: 'Delete an agent with its sessions',
          description:
            'Agents that name it go on without it: it leaves their lists and tasks, and the nodes of their workflows have no agent then.',
          parameters: [ifMatch],
          responses: problemsOf(409, 412),
        },
      },
    )

/** The agent as the answer, its tag as a header. */
function tagged(set: { headers: Record<string, string | number> }, { agent, etag }: ShownAgent) {
  set.headers.etag = etag
  return agent
}
