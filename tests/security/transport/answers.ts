import { expect } from 'bun:test'
import { sql } from 'drizzle-orm'
import { createAdmission } from '~/platform/admission'
import { listRoutes } from '~/platform/http/routes'
import { converse, rawRequest } from '../../support/raw-http'
import { all, outcomeOf, outcomes, type Row, withSurface } from './row'

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND', 'M-SEARCH', 'CONNECT']

/** A path of the route with something in the place of each parameter. */
const sample = (path: string) => path.replaceAll(/:\w+/g, crypto.randomUUID())

const raw = async (url: string, method: string, target: string, lines: string[] = []) =>
  (await converse(url, rawRequest(method, target, lines), { quietMs: 0 })).replies[0]

/** What a handler may throw at us; the text must not come out. */
const SECRET_TEXT =
  'connect postgres://evo:Zk3v9q0Yx7Lr2Wn8@db:5432/evo failed in /srv/evo/src/platform/db.ts: select "password_hash" from "users" where id = $1'

const throwables: Record<string, () => unknown> = {
  'an error': () => new Error(SECRET_TEXT),
  'an error with a cause': () => new Error('failed', { cause: new Error(SECRET_TEXT) }),
  'an error with a status of its own, as SDKs have them': () => Object.assign(new Error(SECRET_TEXT), { status: 401, code: 'NOPE' }),
  'an error that says it is somebody else’s': () => Object.assign(new Error(SECRET_TEXT), { code: 'VALIDATION', status: 200 }),
  'an error that brings its own response': () =>
    Object.assign(new Error(SECRET_TEXT), { toResponse: () => new Response(SECRET_TEXT, { status: 418 }) }),
  'a text': () => SECRET_TEXT,
  'an object': () => ({ message: SECRET_TEXT, status: 418 }),
  nothing: () => undefined,
  null: () => null,
}

export const answers: Row[] = [
  {
    id: 'HTTP-11',
    guarantee: 'a method that a path does not have is 405 with the ones that it has, in both spellings of the path',
    timeoutMs: 30_000,
    async check(app) {
      const routes = listRoutes(app.app)
      const reaches = (pattern: string, path: string) =>
        new RegExp(`^${pattern.replace(/\/$/, '').replaceAll(/:\w+/g, '[^/]+')}/?$`).test(path)
      for (const pattern of new Set(routes.map(({ path }) => path))) {
        const path = sample(pattern)
        const own = new Set(routes.filter((route) => reaches(route.path, path)).map(({ method }) => method))
        if (own.has('GET')) own.add('HEAD')
        const allow = [...own, 'OPTIONS'].sort().join(', ')
        for (const spelling of path === '/' ? [path] : [path.replace(/\/$/, ''), path.replace(/\/?$/, '/')]) {
          for (const method of METHODS.filter((name) => !own.has(name) && name !== 'CONNECT')) {
            const reply = method === 'HEAD' ? await app.stranger('HEAD', spelling) : await raw(app.url, method, spelling)
            const told = reply === undefined ? 'no answer' : `${outcomeOf(reply)} ${reply.headers.get('allow')}`
            const expected = method === 'HEAD' ? `405 empty ${allow}` : `405 method-not-allowed ${allow}`
            expect(`${method} ${spelling} ${told}`).toBe(`${method} ${spelling} ${expected}`)
          }
        }
      }
      // Bun's parser knows 34 methods and hangs up on a word that is none; CONNECT names no path.
      expect(await converse(app.url, rawRequest('FOO', '/livez'))).toMatchObject({ replies: [], closed: true })
      const others = { connect: ['CONNECT', 'evil.example:80'], star: ['GET', '*'], fragment: ['GET', '/livez#top'] } as const
      const told = async ([method, target]: readonly [string, string]) => {
        const reply = await raw(app.url, method, target)
        return reply === undefined ? 'no answer' : outcomeOf(reply)
      }
      expect(await outcomes(others, told)).toEqual({ ...all(others, '400 malformed-request'), star: '400 empty' })
      expect(outcomeOf(await app.stranger('GET', '/nowhere'))).toBe('404 not-found')
      expect(outcomeOf(await app.stranger('PATCH', '/nowhere'))).toBe('404 not-found')
      const head = await app.stranger('HEAD', '/livez')
      expect({ status: head.status, body: head.body, length: head.headers.get('content-length') }).toEqual({
        status: 200,
        body: '',
        length: '15',
      })
      expect(outcomeOf(await app.stranger('HEAD', '/api/v1/agents/'))).toBe('401 empty')
      expect((await app.stranger('OPTIONS', '/api/v1/agents/')).status).toBe(204)
    },
  },
  {
    id: 'HTTP-13',
    guarantee: 'an error that nobody foresaw is a bare 500; its text is in the log alone, without its secrets',
    async check(app) {
      const answer = '500 internal Something failed on our side.'
      for (const [label, make] of Object.entries(throwables)) {
        const fail = () => {
          throw make()
        }
        const services = {
          agents: { ...app.services.agents, get: async () => fail(), list: fail },
          health: { ...app.services.health, readiness: fail },
          runs: { ...app.services.runs, follow: async () => fail() },
        }
        await withSurface(app, { services }, async ({ url, logged }) => {
          const client = [`Authorization: Bearer ${app.ada.token}`, `X-Client-Id: ${app.ada.clientId}`]
          const paths = [
            '/readyz',
            '/api/v1/agents/',
            `/api/v1/agents/${crypto.randomUUID()}`,
            `/api/v1/runs/${crypto.randomUUID()}/events`,
          ]
          for (const path of paths) {
            const reply = await raw(url, 'GET', path, client)
            const told = reply === undefined ? 'no answer' : `${outcomeOf(reply)} ${JSON.parse(reply.body).detail}`
            expect({ label, path, told }).toEqual({ label, path, told: answer })
            expect(JSON.stringify([reply?.body, ...(reply?.headers ?? [])])).not.toMatch(/postgres|srv|password_hash|Zk3v/)
            expect(logged()).toContain(JSON.parse(reply?.body ?? '{}').trace_id)
          }
          expect(logged()).not.toContain('Zk3v')
          if (make() instanceof Error || typeof make() === 'string') expect(logged()).toContain('password_hash')
        })
      }
      // A handler's answer that breaks its own schema is our fault as well, and stays inside.
      const services = { agents: { ...app.services.agents, get: async () => ({ id: SECRET_TEXT }) as never } }
      await withSurface(app, { services }, async ({ url }) => {
        const reply = await raw(url, 'GET', `/api/v1/agents/${crypto.randomUUID()}`, [`Authorization: Bearer ${app.ada.token}`])
        expect(`${reply && outcomeOf(reply)} ${JSON.parse(reply?.body ?? '{}').detail}`).toBe(answer)
      })
    },
  },
  {
    id: 'HTTP-16',
    guarantee: 'only the configured origins may read answers from a browser, and none with credentials (defect 47)',
    async check(app) {
      const ask = async (url: string, method: string, origin: string) => {
        const headers = { origin, 'access-control-request-method': 'PUT', 'access-control-request-headers': 'authorization,x-client-id' }
        const response = await fetch(`${url}/api/v1/agents/`, { method, headers: { ...headers, cookie: 'session=1' } })
        expect(response.headers.has('access-control-allow-credentials')).toBe(false)
        return `${response.status} ${response.headers.get('access-control-allow-origin')} ${response.headers.get('vary')}`
      }
      const origins = [
        'https://evil.example',
        'null',
        'http://localhost:8000.evil.example',
        'http://localhost',
        'https://localhost:8000',
        'toString',
        '*',
      ]
      const evil = Object.fromEntries(origins.map((origin) => [origin, origin]))
      expect(await outcomes(evil, (origin) => ask(app.url, 'OPTIONS', origin))).toEqual(all(evil, '204 null Origin'))
      expect(await outcomes(evil, (origin) => ask(app.url, 'GET', origin))).toEqual(all(evil, '401 null Origin'))
      const ours = 'http://localhost:8000'
      expect(await ask(app.url, 'GET', ours)).toBe(`401 ${ours} Origin`)
      expect(await ask(app.url, 'OPTIONS', ours)).toBe(`204 ${ours} Origin`)
      // What the web frontend needs, also to read why a request was refused before it was routed.
      const preflight = await fetch(`${app.url}/api/v1/agents/`, { method: 'OPTIONS', headers: { origin: ours } })
      const allowed = preflight.headers.get('access-control-allow-headers')?.split(', ')
      expect(allowed).toEqual(expect.arrayContaining(['authorization', 'x-api-key', 'x-client-id', 'content-type']))
      const methods = await fetch(`${app.url}/livez`, {
        method: 'OPTIONS',
        headers: { origin: ours, 'access-control-request-method': 'PUT' },
      })
      expect(methods.headers.get('access-control-allow-methods')?.split(', ')).toEqual(['GET', 'POST', 'PUT', 'DELETE'])
      expect(methods.headers.get('access-control-max-age')).toBe('600')
      const early = await fetch(`${app.url}/livez?a=1&a=2`, { headers: { origin: ours } })
      expect([early.status, early.headers.get('access-control-allow-origin')]).toEqual([422, ours])
      await withSurface(app, { config: { corsOrigins: ['*'] } }, async ({ url }) => {
        for (const origin of ['https://evil.example', 'null']) expect(await ask(url, 'GET', origin)).toStartWith('401 * ')
      })
    },
  },
  {
    id: 'HTTP-17',
    guarantee: 'an X-Forwarded-For that no trusted proxy added moves neither rate limits nor audit addresses (defect 50)',
    async check(app) {
      const { redis, database } = app.services.stores
      const rates = { 'sign-in': 3, read: 1000, write: 1000, chat: 1000, refused: 1000 }
      const services = () => ({
        admission: createAdmission({ redis, perMinute: rates, processes: 1, tokenLifetimeSeconds: 60 }),
      })
      const login = async (url: string, forwarded: string) => {
        const lines = ['Content-Type: application/json', 'Content-Length: 2', `X-Forwarded-For: ${forwarded}`]
        return (await converse(url, rawRequest('POST', '/api/v1/auth/login', lines, '{}'), { quietMs: 0 })).replies[0]
      }
      const statuses = async (url: string, forwarded: string[]) => {
        const found = []
        for (const list of forwarded) found.push((await login(url, list))?.status)
        return found
      }
      await redis.run((client) => client.flushdb())
      await withSurface(app, { services: services() }, async ({ url, logged }) => {
        const random = ['203.0.113.1', '203.0.113.2, 10.0.0.1', '203.0.113.3', '203.0.113.4', '127.0.0.1, 203.0.113.5']
        expect(await statuses(url, random)).toEqual([422, 422, 422, 429, 429])
        expect((await login(url, '203.0.113.6'))?.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
        const seen = new Set([...logged().matchAll(/"address":"([^"]*)"/g)].map(([, address]) => address))
        expect([...seen]).toEqual(['127.0.0.1'])
      })
      await withSurface(
        app,
        { config: { trustedProxies: ['127.0.0.0/8', '10.0.0.0/8'] }, services: services() },
        async ({ url, logged }) => {
          // What the client wrote in front of the proxy's entry does not count, nor do trusted proxies behind it.
          const sameHop = ['198.51.100.7', '203.0.113.1, 198.51.100.7', '8.8.8.8, 198.51.100.7, 10.1.2.3', '127.0.0.1, 198.51.100.7']
          expect(await statuses(url, sameHop)).toEqual([422, 422, 422, 429])
          expect(await statuses(url, ['203.0.113.1, 198.51.100.8', '198.51.100.7, 2001:db8::1', '[2001:db8::2]:443'])).toEqual([
            422, 422, 422,
          ])
          const logs = [...logged().matchAll(/"address":"([^"]*)"/g)].map(([, address]) => address)
          expect([...new Set(logs)]).toEqual(['198.51.100.7', '198.51.100.8', '2001:db8::1', '2001:db8::2'])
          const headers = {
            authorization: `Bearer ${app.ada.token}`,
            'content-type': 'application/json',
            'x-forwarded-for': '203.0.113.1, 198.51.100.9',
          }
          const body = JSON.stringify({ client_id: app.ada.clientId, name: 'seen', type: 'llm', model: 'demo/echo' })
          expect((await fetch(`${url}/api/v1/agents/`, { method: 'POST', headers, body })).status).toBe(201)
          const entries = await database.db.execute<{ address: string }>(
            sql`select payload->>'ip_address' as address from outbox where kind = 'audit' and client_id = ${app.ada.clientId} order by created_at desc limit 1`,
          )
          expect([...entries]).toEqual([{ address: '198.51.100.9' }])
        },
      )
    },
  },
]
