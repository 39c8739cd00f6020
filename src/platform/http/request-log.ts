import { Elysia } from 'elysia'
import type { Log } from '../log'
import { originOf } from './origin'
import { pathOf } from './problems'

/** One line a request, after its answer: method, path without query, status, duration, trace id. No header and no body. */
export const requestLog = ({ log }: { log: Log }) =>
  new Elysia({ name: 'request-log' })
    .decorate('startedAt', 0)
    .onRequest((context) => {
      context.startedAt = performance.now()
    })
    .onAfterResponse({ as: 'global' }, ({ request, set, response, startedAt }) => {
      const status = response instanceof Response ? response.status : typeof set.status === 'number' ? set.status : 200
      const { traceId, address } = originOf(request)
      log.info('request', {
        method: request.method,
        path: pathOf(request.url),
        status,
        ms: Math.round((performance.now() - startedAt) * 100) / 100,
        trace_id: traceId,
        address,
      })
    })
