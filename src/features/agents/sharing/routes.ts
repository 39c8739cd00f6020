import { Elysia, t } from 'elysia'
import { type CallerDeps, callerOf } from '~/platform/http/agent-caller'
import { ClientHeader } from '~/platform/http/client-header'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { idempotent } from '~/platform/http/idempotency'
import { Uuid } from '~/platform/http/schema'
import { type OpenSession, tell } from '~/platform/http/session'
import { Agent } from '../schema'
import type { AgentSharing } from './service'

const Params = t.Object({ agent_id: Uuid })

export const agentSharingRoutes = ({ sharing, session }: { sharing: AgentSharing; session: OpenSession }) =>
  new Elysia({ prefix: '/agents', tags: ['agents'] })
    .use(session)
    .post(
      '/:agent_id/share',
      ({ principal, headers, params, request }) =>
        sharing.share(idempotent(principal, request, null), headers['x-client-id'], params.agent_id),
      {
        headers: ClientHeader,
        params: Params,
        body: t.Unknown({ description: 'Not read.' }),
        response: { 200: t.Object({ api_key: t.String() }, { title: 'ShareKey' }) },
        detail: {
          summary: 'Share an agent: a key that opens its chat and nothing else, the same one until it is taken back',
          parameters: [idempotencyKey],
        },
      },
    )
    .delete(
      '/:agent_id/share',
      async ({ principal, params, set }) => {
        await sharing.unshare(principal, params.agent_id)
        set.status = 204
      },
      { params: Params, detail: { summary: 'Take the share key back: links with it end at once' } },
    )

/** For holders of a key of the agent, its own or the shared one. */
export const sharedAgentRoutes = ({ sharing, ...deps }: { sharing: AgentSharing } & CallerDeps) =>
  new Elysia({ prefix: '/agents', tags: ['agents'] })
    .derive(async ({ request, params, set }) => ({
      principal: await callerOf(request, (params as Record<string, string | undefined>).agent_id ?? '', deps, tell(set)),
    }))
    .get('/:agent_id/shared', ({ principal, params }) => sharing.shared(principal, params.agent_id), {
      params: Params,
      response: { 200: Agent },
      detail: {
        summary: 'What the holder of a key may know of an agent: no prompt, no secret',
        description: 'With the agent’s own key or its share key in `x-api-key`, or signed in as somebody who may chat with it.',
        security: [{ bearer: [] }, { agentKey: [] }],
      },
    })
