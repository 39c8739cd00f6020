import { Elysia, t } from 'elysia'
import { ClientHeader } from '~/platform/http/client-header'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList, problemsOf } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { described, PageQuery, pageOf, Uuid } from '~/platform/http/schema'
import type { OpenSession } from '~/platform/http/session'
import { Agent } from '../schema'
import { Export, ImportRequest } from './schema'
import type { AgentTransferService } from './service'

const LEFT_OUT =
  'Left out are the agents’ own keys, `api_key_id` (a provider key stays with its client, so whoever imports chooses one) and every secret within `config`, where an empty text shows its place.'
const attachment = 'attachment; filename="agents.json"'

export const agentTransferRoutes = ({ transfer, session }: { transfer: AgentTransferService; session: OpenSession }) =>
  new Elysia({ prefix: '/agents', tags: ['agents'] })
    .use(session)
    .get(
      '/export',
      async ({ principal, headers, query: { folder_id, limit = '1000', skip = '0' }, request, set }) => {
        const page = pageOf({ skip, limit })
        const { agents, total } = await transfer.exportAll(principal, headers['x-client-id'], { ...page, folderId: folder_id })
        Object.assign(set.headers, pageHeaders(request, page, total), { 'content-disposition': attachment })
        return { agents }
      },
      {
        headers: ClientHeader,
        query: t.Object({ ...PageQuery, folder_id: t.Optional(Uuid) }),
        response: { 200: described(Export) },
        detail: {
          summary: "A client's agents as a file for import, secrets left out: 1000 unless `limit` says less",
          description: LEFT_OUT,
          responses: countedList,
        },
      },
    )
    .get(
      '/:agent_id/export',
      async ({ principal, params, set }) => {
        set.headers['content-disposition'] = attachment
        return transfer.exportOne(principal, params.agent_id)
      },
      {
        params: t.Object({ agent_id: Uuid }),
        response: { 200: Export },
        detail: { summary: 'An agent and all that it leads to as a file for import, secrets left out', description: LEFT_OUT },
      },
    )
    .post(
      '/import',
      async ({ principal, headers, body, request, status }) =>
        status(201, await transfer.import(idempotent(principal, request, body), headers['x-client-id'], body)),
      {
        headers: ClientHeader,
        body: ImportRequest,
        response: { 201: described(t.Array(Agent)) },
        detail: {
          summary: 'Make agents from a file: an export of ours or of the web frontend',
          description:
            'All of them or none: `errors` says what is wrong where in the file. Agents get new ids, by which the file’s own references are replaced; copies of agents within others are imported too. Keys and secrets are to be given again.',
          parameters: [idempotencyKey],
          // Of the folder.
          responses: problemsOf(404),
        },
      },
    )
