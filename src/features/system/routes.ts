import { Elysia, t } from 'elysia'
import { DomainError, type ProblemName } from '~/platform/errors'
import { neverAnswers } from '~/platform/http/docs/responses'
import { PROBLEMS } from '~/platform/http/problems'
import { choice } from '~/platform/http/schema'
import type { Health } from './health'
import { problemPage } from './problem-page'

const Readiness = t.Object({
  status: choice(['ready', 'degraded', 'unready']),
  checks: t.Object({
    postgres: choice(['ok', 'read-only', 'down']),
    migrations: choice(['ok', 'behind', 'unknown']),
    redis: choice(['ok', 'down', 'evicting']),
    draining: t.Boolean(),
  }),
})
const open = { security: [] }

/** What is about the server itself: its card, its health, and the pages that explain its problems. */
export const systemRoutes = ({ health, version }: { health: Health; version: string }) =>
  new Elysia({ tags: ['system'] })
    .onRequest(({ set }) => {
      // A connection that is closed after an answer is not closed under a request.
      if (health.isDraining) set.headers.connection = 'close'
    })
    .get(
      '/',
      () => ({
        message: 'Welcome to Evo AI API',
        documentation: '/docs',
        version,
        auth: "To access the API, use JWT authentication via '/api/v1/auth/login'",
      }),
      {
        response: { 200: t.Object({ message: t.String(), documentation: t.String(), version: t.String(), auth: t.String() }) },
        detail: { summary: 'What this is', ...open },
      },
    )
    .get('/livez', () => ({ status: 'ok' as const }), {
      response: { 200: t.Object({ status: t.Literal('ok') }) },
      detail: { summary: 'The process lives; depends on nothing', ...open },
    })
    .get('/api/v1/health', () => ({ status: 'ok' as const }), {
      response: { 200: t.Object({ status: t.Literal('ok') }) },
      detail: { summary: 'The same as /livez', ...open },
    })
    .get(
      '/readyz',
      async ({ status }) => {
        const readiness = await health.readiness()
        return readiness.status === 'unready' ? status(503, readiness) : readiness
      },
      { response: { 200: Readiness, 503: Readiness }, detail: { summary: 'Whether a load balancer should send requests here', ...open } },
    )
    .get(
      '/problems/:name',
      ({ params: { name }, set }) => {
        if (!Object.hasOwn(PROBLEMS, name)) throw new DomainError('not-found', 'There is no problem of that name.')
        set.headers['content-type'] = 'text/html; charset=utf-8'
        set.headers['content-security-policy'] = "default-src 'none'; style-src 'unsafe-inline'"
        return problemPage(name as ProblemName)
      },
      {
        params: t.Object({ name: t.String({ maxLength: 60 }) }),
        detail: {
          summary: 'The page that explains a problem type',
          ...open,
          ...neverAnswers(429),
          responses: { 200: { description: 'A page for people', content: { 'text/html': { schema: { type: 'string' } } } } },
        },
      },
    )
