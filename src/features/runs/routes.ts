import { Elysia, t } from 'elysia'
import { idempotencyKey, lastEventId as lastEventIdHeader } from '~/platform/http/docs/parameters'
import { idempotent } from '~/platform/http/idempotency'
import { Uuid } from '~/platform/http/schema'
import type { OpenSession } from '~/platform/http/session'
import { eventStream, lastEventId } from './event-stream'
import { Reconciliation, Run } from './schema'
import type { RunService } from './service'

const Params = t.Object({ run_id: Uuid })

export const runRoutes = ({ runs, session }: { runs: RunService; session: OpenSession }) =>
  new Elysia({ prefix: '/runs', tags: ['runs'] })
    .use(session)
    .get('/:run_id', ({ principal, params }) => runs.get(principal, params.run_id), {
      params: Params,
      response: { 200: Run },
      detail: { summary: 'A run with its steps' },
    })
    .get(
      '/:run_id/events',
      async function* ({ principal, params, request }) {
        // To answer HEAD, Elysia would read the stream to its end.
        if (request.method === 'HEAD') return runs.get(principal, params.run_id)
        yield* eventStream(await runs.follow(principal, params.run_id, { after: lastEventId(request), signal: request.signal }))
        return undefined
      },
      {
        params: Params,
        detail: {
          summary: "A run's event log as server-sent events; `Last-Event-ID` resumes it on any replica",
          parameters: [lastEventIdHeader],
          responses: { 200: { description: 'Server-sent events', content: { 'text/event-stream': { schema: { type: 'string' } } } } },
        },
      },
    )
    .post('/:run_id/cancel', ({ principal, params }) => runs.cancel(principal, params.run_id), {
      params: Params,
      response: { 200: Run },
      detail: { summary: 'End a run' },
    })
    .post(
      '/:run_id/reconcile',
      ({ principal, params, body, request }) => runs.reconcile(idempotent(principal, request, body), params.run_id, body),
      {
        params: Params,
        body: Reconciliation,
        response: { 200: Run },
        detail: { summary: 'Say what became of a step whose outcome a crash left unknown', parameters: [idempotencyKey] },
      },
    )
