import { Elysia, t } from 'elysia'
import { type CallerDeps, readerOf } from '~/platform/http/agent-caller'
import { positionOf } from '~/platform/http/cursor'
import { idempotencyKey, lastEventId as lastEventIdHeader } from '~/platform/http/docs/parameters'
import { partlyCountedList, problemsOf } from '~/platform/http/docs/responses'
import { letBodyGo } from '~/platform/http/held-body'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { described, pageOf, Uuid } from '~/platform/http/schema'
import { type OpenSession, tell } from '~/platform/http/session'
import { eventStream, lastEventId } from './event-stream'
import { NewRun, Reconciliation, Run, RunItem, RunQuery } from './schema'
import type { RunService } from './service'

const Params = t.Object({ run_id: Uuid })

export const runRoutes = ({ runs, session }: { runs: RunService; session: OpenSession }) =>
  new Elysia({ tags: ['runs'] })
    .use(session)
    .post(
      '/agents/:agent_id/runs',
      async function* ({ principal, params, body, request, server, set }) {
        // An agent may think for longer than the server's idle time; streams send heartbeats, a waiting request cannot.
        server?.timeout(request, 0)
        const { runId } = await runs.begin(idempotent(principal, request, body), params.agent_id, body)
        letBodyGo(request)
        const location = `/api/v1/runs/${runId}`
        set.headers.location = location
        if (body.mode === 'background') {
          set.status = 202
          return runs.get(principal, runId)
        }
        const watched = runs.whileWatched(principal, runId, {
          onDisconnect: body.on_disconnect ?? 'continue',
          signal: request.signal,
          streamed: body.mode === 'stream',
          untilItWaits: body.mode !== 'stream',
        })
        if (body.mode !== 'stream') {
          const run = await runs.outcome(principal, runId, watched)
          if (run.finished_at === null) set.status = 202
          return run
        }
        set.headers['x-accel-buffering'] = 'no'
        yield* eventStream(watched)
        return undefined
      },
      {
        params: t.Object({ agent_id: Uuid }),
        body: NewRun,
        detail: {
          summary: 'Run an agent: wait for its end, watch it, or leave it to the background',
          parameters: [idempotencyKey],
          responses: {
            ...problemsOf(402, 409, 422, 502, 504),
            200: {
              description: 'The run at its end, or the stream of its events',
              content: { 'application/json': { schema: t.Unsafe<object>(Run) }, 'text/event-stream': { schema: { type: 'string' } } },
            },
            202: { description: 'The run as it stands', content: { 'application/json': { schema: t.Unsafe<object>(Run) } } },
          },
        },
      },
    )
    .get(
      '/runs/',
      async ({ principal, query: { client_id, agent_id, session_id, status, cursor, ...page }, request, set }) => {
        const filter = { clientId: client_id, agentId: agent_id, sessionId: session_id, status }
        const asked = { ...pageOf(page), after: positionOf(request, cursor) }
        const { items, total, last } = await runs.list(principal, filter, asked)
        Object.assign(set.headers, pageHeaders(request, asked, total, last))
        return items
      },
      {
        query: RunQuery,
        response: { 200: described(t.Array(RunItem)) },
        detail: { summary: 'Runs, newest first', responses: partlyCountedList },
      },
    )
    .get('/runs/:run_id', ({ principal, params }) => runs.get(principal, params.run_id), {
      params: Params,
      response: { 200: Run },
      detail: { summary: 'A run with its steps' },
    })
    .post('/runs/:run_id/cancel', ({ principal, params }) => runs.cancel(principal, params.run_id), {
      params: Params,
      response: { 200: Run },
      detail: { summary: 'End a run' },
    })
    .post(
      '/runs/:run_id/reconcile',
      ({ principal, params, body, request }) => runs.reconcile(idempotent(principal, request, body), params.run_id, body),
      {
        params: Params,
        body: Reconciliation,
        response: { 200: Run },
        detail: { summary: 'Say what became of a step whose outcome a crash left unknown', parameters: [idempotencyKey] },
      },
    )

/** For whoever may talk to the agent, and so may have started the run: a broken stream is taken up again with the same credential. */
export const runEventRoutes = ({ runs, ...deps }: { runs: RunService } & CallerDeps) =>
  new Elysia({ tags: ['runs'] })
    .derive(async ({ request, params, set }) => {
      const { run_id = '' } = params as Record<string, string | undefined>
      return { principal: await readerOf(request, () => runs.agentOf(run_id), deps, tell(set)) }
    })
    .get(
      '/runs/:run_id/events',
      async function* ({ principal, params, request, set }) {
        // To answer HEAD, Elysia would read the stream to its end.
        if (request.method === 'HEAD') return runs.get(principal, params.run_id)
        const entries = await runs.follow(principal, params.run_id, { after: lastEventId(request), signal: request.signal })
        // An EventSource that was not closed at the end comes back until it gets this one (HTML section 9.2.3).
        if (!(yield* eventStream(entries))) set.status = 204
        return undefined
      },
      {
        params: Params,
        detail: {
          summary: "A run's event log as server-sent events; `Last-Event-ID` resumes it on any replica",
          description: 'With an access token or machine key, or with a key of the run’s agent in `x-api-key`, its own or the shared one.',
          security: [{ bearer: [] }, { agentKey: [] }],
          parameters: [lastEventIdHeader],
          responses: {
            200: { description: 'Server-sent events', content: { 'text/event-stream': { schema: { type: 'string' } } } },
            204: { description: 'The run is over, and `Last-Event-ID` is its last event' },
          },
        },
      },
    )
