import { Elysia, t } from 'elysia'
import { eventStream } from '~/features/runs/event-stream'
import { DomainError } from '~/platform/errors'
import { type CallerDeps, callerOf } from '~/platform/http/agent-caller'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { neverAnswers, problemsOf } from '~/platform/http/docs/responses'
import { letBodyGo } from '~/platform/http/held-body'
import { idempotent } from '~/platform/http/idempotency'
import { originOf } from '~/platform/http/origin'
import { choice, ExternalId, Uuid } from '~/platform/http/schema'
import { tell } from '~/platform/http/session'
import type { Foresight } from './foresight'
import { ChatAnswer, ChatMessage } from './schema'
import type { ChatService } from './service'
import { SOCKET_PROTOCOL } from './socket-protocol'
import type { ChatSockets } from './sockets'

interface Deps extends CallerDeps {
  chat: ChatService
  foresight: Foresight
}

const Params = t.Object({ agent_id: Uuid, external_id: ExternalId })
const Query = t.Object({
  stream: t.Optional(choice(['true', 'false'], { description: 'Answer with server-sent events as they come.' })),
  on_disconnect: t.Optional(choice(['continue', 'cancel'], { description: 'What happens to the run when the client leaves.' })),
})

export const chatRoutes = ({ chat, foresight, agents, authenticator, admission }: Deps) =>
  new Elysia({ prefix: '/chat', tags: ['chat'] })
    .derive(async ({ request, params, set }) => {
      const { agent_id: agentId = '', external_id: externalId = '' } = params as Record<string, string | undefined>
      const admit = () => callerOf(request, agentId, { agents, authenticator, admission }, tell(set))
      const { caller, ahead } = await foresight.beside({ request, agentId, externalId, admit })
      return { principal: caller, ahead }
    })
    .post(
      '/:agent_id/:external_id',
      async function* ({ principal, ahead, params, query, body, request, server, set }) {
        // A model may think for longer than the server's idle time; streams send heartbeats, a waiting request cannot.
        server?.timeout(request, 0)
        const turn = {
          agentId: params.agent_id,
          externalId: params.external_id,
          message: body,
          onDisconnect: query.on_disconnect ?? 'continue',
          ahead,
          signal: request.signal,
          onAccepted: () => letBodyGo(request),
        } as const
        const caller = idempotent(principal, request, body)
        if (query.stream !== 'true') return chat.ask(caller, turn)
        set.headers['x-accel-buffering'] = 'no'
        yield* eventStream((await chat.stream(caller, turn)).entries)
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
            ...problemsOf(402, 502, 504),
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

const SocketQuery = t.Object({
  deltas: t.Optional(choice(['true', 'false'], { description: 'Send each entry of the event log as it comes, pieces of text included.' })),
  on_disconnect: t.Optional(choice(['continue', 'cancel'], { description: 'What happens to the run in hand when the client leaves.' })),
})

/** Bun upgrades the connection; what happens on it is in sockets.ts. */
export const chatSocketRoutes = ({ sockets }: { sockets: ChatSockets }) =>
  new Elysia({ prefix: '/chat', tags: ['chat'] }).get(
    '/ws/:agent_id/:external_id',
    ({ request, server, params, query, set }) => {
      if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket')
        throw new DomainError('malformed-request', 'This is a WebSocket: ask for an upgrade.', { headers: { upgrade: 'websocket' } })
      const data = sockets.admit({
        agentId: params.agent_id,
        externalId: params.external_id,
        origin: originOf(request),
        webOrigin: request.headers.get('origin'),
        deltas: query.deltas === 'true',
        onDisconnect: query.on_disconnect ?? 'continue',
      })
      if (server?.upgrade(request, { data })) {
        // Bun has answered; this is what the log and the figures tell.
        set.status = 101
        return
      }
      data.close()
      throw new DomainError('malformed-request', 'The upgrade to a WebSocket failed.')
    },
    {
      params: Params,
      query: SocketQuery,
      detail: {
        summary: 'Talk to an agent over a WebSocket',
        description: SOCKET_PROTOCOL,
        security: [],
        responses: { ...problemsOf(400, 403, 429, 503), 101: { description: 'Switching Protocols' } },
        ...neverAnswers(404),
      },
    },
  )
