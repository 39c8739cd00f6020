import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { silentLog } from '~/platform/log'
import { createServices } from '~/processes/services'
import { type Caller, expectedOf, type ObjectOf, objectsOf, RULES, type Rule } from '../security/access-matrix'
import { REQUESTS } from '../security/access-requests'
import { createWorld, type World } from '../security/access-world'
import { outcomeOf, withSurface } from '../security/transport/row'
import { startApp, type TestApp } from '../support/start-app'
import { ALIKE, type Alike, alikeOf, type DocumentedRoute, documentedRoutes, staleExceptions, withoutRow } from './coverage'
import { TABLES } from './tables'

setDefaultTimeout(30_000)
const MAX_BYTES = 20_000

let app: TestApp
let world: World
let routes: DocumentedRoute[]
beforeAll(async () => {
  app = await startApp({
    RATE_REQUESTS_PER_MINUTE: '1000000',
    RATE_CHATS_PER_MINUTE: '1000000',
    MAX_BODY_BYTES: String(MAX_BYTES),
    MAX_UPLOAD_BYTES: String(2 * MAX_BYTES),
  })
  world = await createWorld(app)
  routes = await documentedRoutes(app.url)
})
afterAll(() => app.close())

test('every documented route and every status of it has a row', () => {
  expect(routes.length).toBeGreaterThan(100)
  expect(withoutRow(routes, TABLES)).toEqual([])
  expect(staleExceptions(routes)).toEqual([])
  // A missing one would be noticed.
  const [first] = TABLES.flatMap(({ rows }) => rows)
  expect(withoutRow(routes, first === undefined ? [] : [{ section: '', rows: [first] }]).length).toBeGreaterThan(100)
})

test.each(Object.keys(RULES))('what every route answers alike: %s', async (route) => {
  const documented = routes.find((one) => one.route === route)
  if (documented === undefined) return
  const statuses = alikeOf(documented).filter((status) => status !== 429)
  const found: Record<number, string> = {}
  for (const status of statuses) found[status] = await outcome(app.url, await requestFor(route, status))
  expect(found).toEqual(Object.fromEntries(statuses.map((status) => [status, `${status} ${ALIKE[status]}`])))
})

test('429: every route that says so, once its caller has used up a rate', async () => {
  const rates = { ...app.config.rates, signInPerMinute: 1, mailRequestsPerHour: 1, requestsPerMinute: 1, writesPerMinute: 1 }
  const few = { ...rates, chatsPerMinute: 1, refusedPerMinute: 1 }
  const services = createServices({ ...app.config, rates: few }, { log: silentLog, owner: 'few', recoverEveryMs: 1000 })
  await withSurface(app, { config: { rates: few }, services }, async ({ url }) => {
    const limited = routes.filter((documented) => alikeOf(documented).includes(429))
    const found: string[] = []
    for (const { route } of limited) {
      const request = await requestFor(route, 429)
      let last = ''
      for (let call = 0; call < 3 && !last.startsWith('429'); call++) last = await outcome(url, request)
      found.push(`${route}: ${last}`)
    }
    expect(found).toEqual(limited.map(({ route }) => `${route}: 429 rate-limited`))
  }).finally(() => services.close())
})

interface Sent {
  method: string
  target: string
  headers: Record<string, string>
  body?: string
}

const JSON_BODY = { 'content-type': 'application/json' }

/** A request that is at fault in this one respect. */
async function requestFor(route: string, status: Alike): Promise<Sent> {
  const rule = RULES[route] as Rule
  const [method = ''] = route.split(' ')
  const target = await world.pathOf(route, 'own')
  const headers = await credentialsOf(rule.who === 'anybody' ? 'stranger' : rule.who === 'admin' ? 'admin' : 'owner')
  const withBody = (type: string, body: string) => ({ method, target, headers: { ...headers, 'content-type': type }, body })
  switch (status) {
    case 400:
      return { method, target: `${target}?x=%zz`, headers }
    case 401:
      return { method, target, headers: {} }
    case 413:
      return withBody('application/json', JSON.stringify('x'.repeat(2 * MAX_BYTES)))
    case 415:
      return withBody('text/plain', 'hello')
    case 422:
      return { method, target: `${target}?twice=1&twice=2`, headers }
    case 403:
      return refusedRequest(route, rule)
    case 404:
      return complete(route, 'own', 'admin', rule, { [lastName(route)]: absentId(lastName(route)) })
    case 429:
      return complete(route, 'own', 'owner', rule)
  }
}

async function complete(route: string, object: ObjectOf, caller: Caller, rule: Rule, fixed: Record<string, string> = {}): Promise<Sent> {
  const { query = '', body, headers } = (await REQUESTS[route]?.(world, object)) ?? {}
  const [method = ''] = route.split(' ')
  return {
    method,
    target: `${await world.pathOf(route, object, fixed)}${query}`,
    headers: { ...headers, ...(rule.who === 'anybody' ? {} : await credentialsOf(caller)), ...(body === undefined ? {} : JSON_BODY) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }
}

/** By the first of these whom the access matrix refuses. */
async function refusedRequest(route: string, rule: Rule): Promise<Sent> {
  for (const object of objectsOf(rule))
    for (const caller of ['viewer', "other client's owner", 'impersonating admin', 'machine key of another scope'] as const)
      if (expectedOf(rule, caller, object) === 403) {
        const request = await complete(route, object, caller, rule)
        return caller.startsWith('machine')
          ? { ...request, headers: { ...request.headers, ...(await world.keyWithout(rule.scope)) } }
          : request
      }
  throw new Error(`${route} documents a 403, and the access matrix refuses nobody`)
}

/** What the route is about. The outside id of a chat is anybody's to choose. */
const lastName = (route: string) => [...route.matchAll(/:(?!external_id)(\w+)/g)].at(-1)?.[1] ?? ''
const absentId = (name: string) =>
  name === 'session_id' ? `nobody_${crypto.randomUUID()}` : name === 'version' ? '999' : crypto.randomUUID()

const known = new Map<Caller, Record<string, string>>()
async function credentialsOf(caller: Caller) {
  const credentials = known.get(caller) ?? (await world.credentialsOf(caller))
  known.set(caller, credentials)
  return credentials
}

async function outcome(url: string, { target, ...init }: Sent): Promise<string> {
  const response = await fetch(`${url}${target}`, init)
  const text = await response.text()
  const outcome = outcomeOf({ status: response.status, headers: response.headers, body: text })
  // Bun refuses what no route takes before there is a route.
  return outcome === '413 empty' ? '413 payload-too-large' : outcome
}
