import { Elysia, t } from 'elysia'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { PageQuery, pageOf, Uuid } from '~/platform/http/schema'
import type { OpenSession } from '~/platform/http/session'
import { Agent } from '../schema'
import { AgentVersion, AgentVersionDetail, Difference } from './schema'
import type { AgentVersionService } from './service'

const Version = t.String({ pattern: '^[1-9][0-9]{0,8}$', error: 'Must be the number of a version' })
const Params = t.Object({ agent_id: Uuid })
const OneVersion = t.Object({ agent_id: Uuid, version: Version })

export const agentVersionRoutes = ({ versions, session }: { versions: AgentVersionService; session: OpenSession }) =>
  new Elysia({ prefix: '/agents/:agent_id/versions', tags: ['agents'] })
    .use(session)
    .get(
      '/',
      async ({ principal, params, query, request, set }) => {
        const page = pageOf(query)
        const { items, total } = await versions.list(principal, params.agent_id, page)
        Object.assign(set.headers, pageHeaders(request, page, total))
        return items
      },
      {
        params: Params,
        query: t.Object(PageQuery),
        response: { 200: t.Array(AgentVersion) },
        detail: { summary: 'List the versions of an agent, newest first', responses: countedList },
      },
    )
    .get('/:version', ({ principal, params }) => versions.get(principal, params.agent_id, Number(params.version)), {
      params: OneVersion,
      response: { 200: AgentVersionDetail },
      detail: { summary: 'Read what an agent was' },
    })
    .get(
      '/:version/diff',
      ({ principal, params, query }) =>
        versions.diff(principal, params.agent_id, Number(params.version), query.to === undefined ? undefined : Number(query.to)),
      {
        params: OneVersion,
        query: t.Object({ to: t.Optional(Version) }),
        response: { 200: t.Array(Difference) },
        detail: { summary: 'What changed from one version to another, or to the current one' },
      },
    )
    .post(
      '/:version/rollback',
      async ({ principal, params, request, set }) => {
        const { agent, etag } = await versions.rollback(idempotent(principal, request, null), params.agent_id, Number(params.version))
        set.headers.etag = etag
        return agent
      },
      {
        params: OneVersion,
        response: { 200: Agent },
        detail: { summary: 'Go back to a former version, as a new one', parameters: [idempotencyKey] },
      },
    )
