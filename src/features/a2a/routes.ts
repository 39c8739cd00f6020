import { Elysia, t } from 'elysia'
import { agentCallerOf, type CallerDeps } from '~/platform/http/agent-caller'
import { dataStream } from '~/platform/http/data-stream'
import { a2aVersion } from '~/platform/http/docs/parameters'
import { neverAnswers, problemsOf } from '~/platform/http/docs/responses'
import { letBodyGo } from '~/platform/http/held-body'
import { PageQuery, pageOf, Uuid } from '~/platform/http/schema'
import { tell } from '~/platform/http/session'
import { answerOfficially, unsupportedVersion } from '~/runtime/a2a/official-server'
import { describeA2a } from './about'
import { answerReference } from './reference'
import { referenceEvents } from './reference-shapes'
import { invalidRequest, isCall } from './rpc-call'
import { AgentCard, HistoryRequest, RpcRequest, RpcResponse, SessionHistory, SessionList } from './schema'
import type { A2aService } from './service'
import { versionOf } from './version'

export { rpcError } from './rpc-call'

interface Deps extends CallerDeps {
  a2a: A2aService
  apiUrl: string
}

const Params = t.Object({ agent_id: Uuid })
const BY_KEY = [{ agentKey: [] }, { bearer: [] }]
const { limit } = PageQuery

/** What everybody may read: how we speak, and what an agent says about itself. */
export const a2aCardRoutes = ({ a2a, apiUrl }: Pick<Deps, 'a2a' | 'apiUrl'>) => {
  const card = ({ params }: { params: { agent_id: string } }) => a2a.card(params.agent_id)
  const detail = { summary: 'The card of an agent', description: 'Both paths give the same card.', security: [], ...neverAnswers(429) }
  return new Elysia({ prefix: '/a2a', tags: ['a2a'] })
    .get('/health', () => describeA2a(apiUrl), {
      response: { 200: t.Record(t.String(), t.Unknown()) },
      detail: { summary: 'What of A2A this server speaks', security: [] },
    })
    .get('/:agent_id/.well-known/agent.json', ({ params }) => card({ params }), { params: Params, response: { 200: AgentCard }, detail })
    .get('/:agent_id/.well-known/agent-card.json', ({ params }) => card({ params }), {
      params: Params,
      response: { 200: AgentCard },
      detail,
    })
}

/** Each agent as an A2A server, for the holders of its key. */
export const a2aRoutes = ({ a2a, apiUrl, ...deps }: Deps) =>
  new Elysia({ prefix: '/a2a', tags: ['a2a'] })
    .derive(async ({ request, params, set }) => {
      const { agent_id = '' } = params as Record<string, string | undefined>
      return { principal: await agentCallerOf(request, agent_id, deps, tell(set)) }
    })
    .post(
      '/:agent_id',
      async function* ({ principal, params, query, body, request, server, set }) {
        // An agent may think for longer than the server's idle time.
        server?.timeout(request, 0)
        const onAccepted = () => letBodyGo(request)
        const tasks = await a2a.tasksOf(principal, params.agent_id, { signal: request.signal, onAccepted })
        if (!isCall(body)) {
          set.status = 400
          return invalidRequest(body)
        }
        const { id = null } = body
        const version = versionOf(request.headers.get('a2a-version') ?? query['A2A-Version'], body)
        if (version === undefined) return { jsonrpc: '2.0', id, error: unsupportedVersion() }
        const answer = version === 'reference' ? await answerReference(tasks, body, apiUrl) : await answerOfficially(tasks, body, version)
        if (Symbol.asyncIterator in answer) {
          set.headers['x-accel-buffering'] = 'no'
          yield* dataStream(answer, () => ({ jsonrpc: '2.0', id, error: { code: -32603, message: 'Streaming failed' } }))
          return undefined
        }
        if (version !== 'reference') return answer
        const { status, body: response } = answer as { status: number; body: object }
        set.status = status
        return response
      },
      {
        params: Params,
        body: RpcRequest,
        detail: {
          summary: 'A2A over JSON-RPC 2.0',
          description:
            'Versions 1.0 and 0.3 of the official protocol, by the header `A2A-Version` or a query parameter of that name, and the dialect of Evo AI 0.1.0. Methods that stream answer with server-sent events. A problem that arises behind the credentials, or with the body, has the members of a JSON-RPC error too: `jsonrpc`, `id` and `error`.',
          parameters: [a2aVersion],
          security: BY_KEY,
          responses: {
            200: {
              description: 'The JSON-RPC response, or a stream of them',
              content: {
                'application/json': { schema: t.Unsafe<object>(RpcResponse) },
                'text/event-stream': { schema: { type: 'string' } },
              },
            },
            400: {
              description: 'Not a request of JSON-RPC 2.0, or of a method that nobody knows',
              content: {
                'application/json': { schema: t.Unsafe<object>(RpcResponse) },
                'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
              },
            },
            ...problemsOf(503),
          },
        },
      },
    )
    .get(
      '/:agent_id',
      async function* ({ principal, params, query, request, set }) {
        const tasks = await a2a.tasksOf(principal, params.agent_id, { signal: request.signal })
        if (query.taskId === undefined || request.method === 'HEAD') return tasks.card
        const about = await tasks.get(query.taskId)
        set.headers['x-accel-buffering'] = 'no'
        yield* dataStream(referenceEvents(tasks.follow(about.id), about), () => ({
          id: about.id,
          status: { state: 'unknown' },
          final: true,
        }))
        return undefined
      },
      {
        params: Params,
        query: t.Object({ taskId: t.Optional(Uuid) }),
        detail: {
          summary: 'Follow a task as server-sent events; without `taskId` the card of the agent',
          security: BY_KEY,
          responses: {
            200: {
              description: 'The stream, or the card',
              content: { 'application/json': { schema: t.Unsafe<object>(AgentCard) }, 'text/event-stream': { schema: { type: 'string' } } },
            },
          },
        },
      },
    )
    .get('/:agent_id/sessions', ({ principal, params, query }) => a2a.talks.sessions(principal, params.agent_id, query.external_id), {
      params: Params,
      query: t.Object({ external_id: t.Optional(t.String({ minLength: 1, maxLength: 512 })) }),
      response: { 200: SessionList },
      detail: { summary: 'The conversation of a context or external id; without one the latest 100', security: BY_KEY },
    })
    .get(
      '/:agent_id/sessions/:session_id/history',
      ({ principal, params, query }) =>
        a2a.talks.history(principal, params.agent_id, params.session_id, query.limit === undefined ? 50 : pageOf(query).limit),
      {
        params: t.Object({ agent_id: Uuid, session_id: t.String({ minLength: 1, maxLength: 200 }) }),
        query: t.Object({ limit }),
        response: { 200: SessionHistory },
        detail: { summary: 'The last messages of a conversation', security: BY_KEY },
      },
    )
    .post(
      '/:agent_id/conversation/history',
      async ({ principal, params, body }) => {
        const { contextId, external_id, limit = 50 } = body.params
        const result = await a2a.talks.conversation(principal, params.agent_id, contextId ?? external_id ?? '', limit)
        return { jsonrpc: '2.0' as const, id: idOf(body.id), result }
      },
      {
        params: Params,
        body: HistoryRequest,
        response: { 200: RpcResponse },
        detail: { summary: 'A conversation as a task', security: BY_KEY },
      },
    )

const idOf = (id: unknown) => (typeof id === 'string' || typeof id === 'number' ? id : null)
