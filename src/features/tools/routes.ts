import { Elysia, t } from 'elysia'
import { CursorQuery, cursorPageOf } from '~/platform/http/cursor'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { PageQuery, Uuid } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import { NewTool, Tool } from './schema'
import type { ToolService } from './service'

const Params = t.Object({ tool_id: Uuid })

export const toolRoutes = ({ tools, session }: { tools: ToolService; session: Session }) =>
  new Elysia({ prefix: '/tools', tags: ['catalogues'] })
    .use(session)
    .post(
      '/',
      async ({ principal, body, request, status }) => status(201, await tools.create(idempotent(principal, request, body), body)),
      {
        body: NewTool,
        response: { 201: Tool },
        detail: { summary: 'Add an HTTP tool to the catalogue; admins only', parameters: [idempotencyKey] },
      },
    )
    .get(
      '/',
      async ({ principal, query, request, set }) => {
        const page = cursorPageOf(request, query)
        const { items, total, last } = await tools.list(principal, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        query: t.Object({ ...PageQuery, ...CursorQuery }),
        response: { 200: t.Array(Tool) },
        detail: { summary: 'List the HTTP tools of the catalogue, oldest first', responses: countedList },
      },
    )
    .get('/:tool_id', ({ principal, params }) => tools.get(principal, params.tool_id), {
      params: Params,
      response: { 200: Tool },
      detail: { summary: 'Read an HTTP tool' },
    })
    .put('/:tool_id', ({ principal, params, body }) => tools.replace(principal, params.tool_id, body), {
      params: Params,
      body: NewTool,
      response: { 200: Tool },
      detail: { summary: 'Replace an HTTP tool; admins only' },
    })
    .delete(
      '/:tool_id',
      async ({ principal, params, set }) => {
        await tools.remove(principal, params.tool_id)
        set.status = 204
      },
      { params: Params, detail: { summary: 'Remove an HTTP tool from the catalogue; admins only' } },
    )
