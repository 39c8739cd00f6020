import { Elysia } from 'elysia'
import type { Log } from '../log'
import { originOf } from './origin'
import { pathOf } from './problems'

const started = new WeakMap<Request, number>()

/** One line a request, after its answer: method, path without query, status, duration, trace id. No header and no body. */
export const requestLog = ({ log }: { log: Log }) =>
  new Elysia({ name: 'request-log' })
    .onRequest(({ request }) => {
      started.set(request, performance.now())
    })
    .onAfterResponse({ as: 'global' }, ({ request, set, response }) => {
      const status = response instanceof Response ? response.status : typeof set.status === 'number' ? set.status : 200
      const { traceId, address } = originOf(request)
      log.info('request', {
        method: request.method,
        path: pathOf(request.url),
        status,
        ms: Math.round((performance.now() - (started.get(request) ?? performance.now())) * 100) / 100,
        trace_id: traceId,
        address,
      })
    })
