import { afterAll, beforeAll, expect, test } from 'bun:test'
import { listRoutes } from '~/platform/http/routes'
import { startApp, type TestApp } from '../support/start-app'
import { outcomeOf } from './transport/row'

let app: TestApp
beforeAll(async () => {
  app = await startApp({ RATE_SIGN_IN_PER_MINUTE: '100000' })
})
afterAll(() => app.close())

/** Who may come without a credential, and why. A route that is not here must refuse a stranger. */
const PUBLIC = new Set([
  // The server about itself.
  'GET /',
  'GET /livez',
  'GET /readyz',
  'GET /metrics',
  'GET /api/v1/health',
  'GET /problems/:name',
  'GET /openapi.json',
  'GET /docs',
  'GET /redoc',
  'GET /docs/assets/:file',
  // Development only.
  'GET /dev/mailbox/',
  'GET /dev/mailbox/:id/body',
  'GET /dev/mailbox/previews',
  'GET /dev/mailbox/previews/:template/:locale',
  // The way in.
  'POST /api/v1/auth/register',
  'POST /api/v1/auth/login',
  'POST /api/v1/auth/login/mfa',
  'POST /api/v1/auth/refresh',
  'GET /api/v1/auth/verify-email/:token',
  'POST /api/v1/auth/verify-email',
  'POST /api/v1/auth/resend-verification',
  'POST /api/v1/auth/forgot-password',
  'POST /api/v1/auth/reset-password',
  'POST /api/v1/auth/confirm-email-change',
  'POST /api/v1/auth/accept-invitation',
  // Known by its signature.
  'POST /api/v1/webhooks/sendgrid',
  // The credential comes in the first frame.
  'GET /api/v1/chat/ws/:agent_id/:external_id',
  // An agent's card is for whoever looks for one.
  'GET /api/v1/a2a/health',
  'GET /api/v1/a2a/:agent_id/.well-known/agent.json',
  'GET /api/v1/a2a/:agent_id/.well-known/agent-card.json',
])

const nameOf = ({ method, path }: { method: string; path: string }) => `${method} ${path}`

test('every route but the public ones refuses a stranger, before it looks at path, query and body', async () => {
  const guarded = listRoutes(app.app).filter((route) => !PUBLIC.has(nameOf(route)))
  expect(guarded.length).toBeGreaterThan(20)
  for (const route of guarded) {
    for (const filling of [crypto.randomUUID(), 'x']) {
      const path = route.path.replaceAll(/:\w+/g, filling)
      const hasBody = route.method === 'POST' || route.method === 'PUT'
      for (const [headers, outcome, challenge] of [
        [{}, '401 unauthenticated', 'Bearer'],
        [{ authorization: 'Basic YTpi' }, '401 unauthenticated', 'Bearer'],
        [{ authorization: 'Bearer a.b.c' }, '401 invalid-token', 'Bearer error="invalid_token"'],
      ] as [Record<string, string>, string, string][]) {
        const reply = await app.stranger(route.method, `${path}?limit=x`, hasBody ? { surplus: true } : undefined, headers)
        const told = `${outcomeOf(reply)}, ${reply.headers.get('www-authenticate')}`
        expect(`${nameOf(route)} ${JSON.stringify(headers)} ${told}`).toBe(
          `${nameOf(route)} ${JSON.stringify(headers)} ${outcome}, ${challenge}`,
        )
      }
    }
  }
})

test('the list of public routes names no route that is gone', () => {
  const known = new Set(listRoutes(app.app).map(nameOf))
  expect([...PUBLIC].filter((name) => !known.has(name))).toEqual([])
})
