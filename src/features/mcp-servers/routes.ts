import { Elysia, t } from 'elysia'
import { CursorQuery, cursorPageOf } from '~/platform/http/cursor'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList, problemsOf } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { PageQuery, Uuid } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import { McpServer, NewMcpServer } from './schema'
import type { McpServerService } from './service'

const Params = t.Object({ server_id: Uuid })

export const mcpServerRoutes = ({ mcpServers, session }: { mcpServers: McpServerService; session: Session }) =>
  new Elysia({ prefix: '/mcp-servers', tags: ['catalogues'] })
    .use(session)
    .post(
      '/',
      async ({ principal, body, request, server, status }) => {
        // MCP_CONNECT_TIMEOUT_MS may be longer than the server's idle time, which would end the request without an answer.
        server?.timeout(request, 0)
        return status(201, await mcpServers.create(idempotent(principal, request, body), body))
      },
      {
        body: NewMcpServer,
        response: { 201: McpServer },
        detail: {
          summary: 'Add an MCP server to the catalogue; admins only',
          description:
            'Commands come from the operator’s list and name their package with its exact version. Without `tools` the server is asked.',
          parameters: [idempotencyKey],
          responses: problemsOf(502, 504),
        },
      },
    )
    .get(
      '/',
      async ({ principal, query, request, set }) => {
        const page = cursorPageOf(request, query)
        const { items, total, last } = await mcpServers.list(principal, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        query: t.Object({ ...PageQuery, ...CursorQuery }),
        response: { 200: t.Array(McpServer) },
        detail: { summary: 'List the MCP servers of the catalogue, oldest first', responses: countedList },
      },
    )
    .get('/:server_id', ({ principal, params }) => mcpServers.get(principal, params.server_id), {
      params: Params,
      response: { 200: McpServer },
      detail: { summary: 'Read an MCP server' },
    })
    .put(
      '/:server_id',
      ({ principal, params, body, request, server }) => {
        server?.timeout(request, 0) // as above
        return mcpServers.replace(principal, params.server_id, body)
      },
      {
        params: Params,
        body: NewMcpServer,
        response: { 200: McpServer },
        detail: { summary: 'Replace an MCP server; admins only', responses: problemsOf(502, 504) },
      },
    )
    .delete(
      '/:server_id',
      async ({ principal, params, set }) => {
        await mcpServers.remove(principal, params.server_id)
        set.status = 204
      },
      { params: Params, detail: { summary: 'Remove an MCP server from the catalogue; admins only' } },
    )
