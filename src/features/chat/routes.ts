import { Elysia, t } from 'elysia'
import type { AgentService } from '~/features/agents/service'
import { eventStream } from '~/features/runs/event-stream'
import type { Admission } from '~/platform/admission'
import { bindTenant } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { problemsOf } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { originOf } from '~/platform/http/origin'
import { choice, Uuid } from '~/platform/http/schema'
import { type Authenticator, bearerOf, credentialOf, type Told, tell } from '~/platform/http/session'
import type { Principal } from '~/platform/principal'
import { ChatAnswer, ChatMessage } from './schema'
import type { ChatService } from './service'

interface Deps {
  chat: ChatService
  agents: AgentService
  authenticator: Authenticator
  admission: Admission
}

const Params = t.Object({ agent_id: Uuid, external_id: t.String({ minLength: 1, maxLength: 128 }) })
const Query = t.Object({
  stream: t.Optional(choice(['true', 'false'], { description: 'Answer with server-sent events as they come.' })),
  on_disconnect: t.Optional(choice(['continue', 'cancel'], { description: 'What happens to the run when the client leaves.' })),
})

export const chatRoutes = ({ chat, agents, authenticator, admission }: Deps) =>
  new Elysia({ prefix: '/chat', tags: ['chat'] })
    .derive(async ({ request, params, set }) => {
      const { agent_id = '' } = params as Record<string, string | undefined>
      return { principal: await callerOf(request, agent_id, { agents, authenticator, admission }, tell(set)) }
    })
    .post(
      '/:agent_id/:external_id',
      async function* ({ principal, params, query, body, request, server, set }) {
        // A model may think for longer than the server's idle time; streams send heartbeats, a waiting request cannot.
        server?.timeout(request, 0)
        const turn = {
          agentId: params.agent_id.toLowerCase(),
          externalId: params.external_id,
          message: body,
          onDisconnect: query.on_disconnect ?? 'continue',
          signal: request.signal,
        } as const
        const caller = idempotent(principal, request, body)
        if (query.stream !== 'true') return chat.ask(caller, turn)
        set.headers['x-accel-buffering'] = 'no'
        yield* eventStream(await chat.stream(caller, turn))
        return undefined
      },
      {
        params: Params,
        query: Query,
        body: ChatMessage,
        detail: {
          summary: 'Say something to an agent; `?stream=true` answers with server-sent events',
          description: 'With an access token or machine key of the agent’s client, or with the agent’s own key in `x-api-key`.',
          security: [{ bearer: [] }, { agentKey: [] }],
          parameters: [idempotencyKey],
          responses: {
            ...problemsOf(502, 504),
            200: {
              description: 'The whole answer, or the stream of events',
              content: {
                'application/json': { schema: t.Unsafe<object>(ChatAnswer) },
                'text/event-stream': { schema: { type: 'string' } },
              },
            },
          },
        },
      },
    )

/** An access token or machine key, else the agent's own key; a token that fails leaves the word to the key, if there is one. */
export async function callerOf(request: Request, agentId: string, deps: Omit<Deps, 'chat'>, told?: Told): Promise<Principal> {
  const principal = await identify(request, agentId, deps, told)
  bindTenant(principal.clientId)
  return principal
}

async function identify(
  request: Request,
  agentId: string,
  { agents, authenticator, admission }: Omit<Deps, 'chat'>,
  told: Told | undefined,
): Promise<Principal> {
  const origin = originOf(request)
  const key = request.headers.get('x-api-key')
  if (key?.startsWith('evo_')) return authenticator.caller(credentialOf(request), origin, 'chat', told)
  if (key === null || request.headers.get('authorization') !== null) {
    try {
      return await authenticator.caller(bearerOf(request), origin, 'chat', told)
    } catch (error) {
      if (key === null || !(error instanceof DomainError && error.problem === 'invalid-token')) throw error
    }
  }
  const { rate } = await admission.admit(`agent:${agentId}`, 'chat')
  told?.(rate)
  const { clientId } = await agents.openWithKey(agentId, key)
  return { kind: 'agent-key', agentId, clientId, origin }
}
