import { Elysia, t } from 'elysia'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { PageQuery, pageOf, Uuid } from '~/platform/http/schema'
import type { OpenSession } from '~/platform/http/session'
import { Acceptance, McpToolState } from './schema'
import type { McpToolService } from './service'

const Params = t.Object({ agent_id: Uuid })

export const mcpToolRoutes = ({ mcpTools, session }: { mcpTools: McpToolService; session: OpenSession }) =>
  new Elysia({ prefix: '/agents', tags: ['agents'] })
    .use(session)
    .get(
      '/:agent_id/mcp-tools',
      async ({ principal, params, query, request, set }) => {
        const page = pageOf(query)
        const { items, total } = await mcpTools.list(principal, params.agent_id, page)
        Object.assign(set.headers, pageHeaders(request, page, total))
        return items
      },
      {
        params: Params,
        query: t.Object(PageQuery),
        response: { 200: t.Array(McpToolState) },
        detail: { summary: "The tools of an agent's MCP servers: as accepted, and as offered since", responses: countedList },
      },
    )
    .post(
      '/:agent_id/mcp-tools/accept',
      ({ principal, params, body, request }) => mcpTools.accept(idempotent(principal, request, body), params.agent_id, body),
      {
        params: Params,
        body: Acceptance,
        response: { 200: t.Object({ accepted: t.Integer() }) },
        detail: { summary: 'Accept new or changed definitions of MCP tools', parameters: [idempotencyKey] },
      },
    )
