import { createHash, timingSafeEqual } from 'node:crypto'
import { Elysia } from 'elysia'
import { DomainError } from '../errors'
import type { Metrics } from '../metrics'
import { problemsOf } from './docs/responses'

/** Counts and times every answer. Stands before the routes that it counts. */
export const requestMetrics = ({ metrics }: { metrics: Metrics }) =>
  new Elysia({ name: 'request-metrics' })
    .decorate('receivedAt', 0)
    .onRequest((context) => {
      context.receivedAt = performance.now()
    })
    .onAfterResponse({ as: 'global' }, ({ request, route, set, response, receivedAt }) => {
      const status = response instanceof Response ? response.status : typeof set.status === 'number' ? set.status : 200
      // The pattern, never the path: what strangers ask for must not become a name of a series.
      const known = route === '' || route === '/*' ? 'none' : route
      metrics.request({
        method: KNOWN.has(request.method) ? request.method : 'other',
        route: known,
        status,
        seconds: (performance.now() - receivedAt) / 1000,
      })
    })

const KNOWN = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** For Prometheus, with a token of its own; without one there is no such page. */
export const metricsRoute = ({ metrics, token }: { metrics: Metrics; token: string | undefined }) =>
  new Elysia({ tags: ['system'] }).get(
    '/metrics',
    async ({ headers, set }) => {
      if (token === undefined) throw new DomainError('not-found', 'METRICS_TOKEN is not set.')
      if (!isSame(headers.authorization ?? '', `Bearer ${token}`)) throw new DomainError('unauthenticated', 'Not authenticated')
      set.headers['content-type'] = metrics.contentType
      return metrics.text()
    },
    {
      detail: {
        summary: 'Figures of requests and queues for Prometheus, with METRICS_TOKEN as the bearer',
        security: [],
        responses: {
          ...problemsOf(401, 404),
          200: { description: 'The text format of Prometheus', content: { 'text/plain': { schema: { type: 'string' } } } },
        },
      },
    },
  )

const isSame = (a: string, b: string) => timingSafeEqual(digest(a), digest(b))
const digest = (text: string) => createHash('sha256').update(text).digest()
