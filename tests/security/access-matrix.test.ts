import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { listRoutes } from '~/platform/http/routes'
import type { Scope } from '~/platform/principal'
import { type Reply, startApp, type TestApp } from '../support/start-app'
import { CALLERS, type Caller, expectedOf, type ObjectOf, objectsOf, RULES } from './access-matrix'
import { ANSWERS, REQUESTS } from './access-requests'
import { createWorld, PROVIDER_KEY, type World } from './access-world'

setDefaultTimeout(60_000)

let app: TestApp
let world: World
beforeAll(async () => {
  app = await startApp({ RATE_SIGN_IN_PER_MINUTE: '1000000', RATE_REQUESTS_PER_MINUTE: '1000000', RATE_CHATS_PER_MINUTE: '1000000' })
  world = await createWorld(app)
})
afterAll(() => app.close())

/** What a refusal says, by its status; a 401 names what is wrong with the credential. */
const problemOf = (status: number, caller: Caller, route: string): string => {
  if (status === 403) return 'forbidden'
  if (status === 404) return 'not-found'
  if (caller === 'expired token') return 'invalid-token'
  return /\/(chat|a2a)\/|\/shared$|\/:run_id\/events$/.test(route) && caller.endsWith('key') ? 'invalid-api-key' : 'unauthenticated'
}

/** These end or may end the sign-in that they are called with. */
const ENDS_SIGN_IN = /\/auth\/(logout|change-password)/
const credentials = new Map<Caller, Record<string, string>>()
const keys = new Map<string, Record<string, string>>()
/** Made once for each scope: a client has a hundred keys at most. */
async function keyWithout(scope: Scope | undefined) {
  const known = keys.get(scope ?? '') ?? (await world.keyWithout(scope))
  keys.set(scope ?? '', known)
  return known
}
async function credentialsFor(caller: Caller, route: string) {
  if (route.endsWith('/logout-all')) return world.lookalikeOf(caller)
  if (caller === 'machine key of another scope') return keyWithout(RULES[route]?.scope)
  const known = credentials.get(caller)
  if (known !== undefined && !ENDS_SIGN_IN.test(route)) return known
  const fresh = await world.credentialsOf(caller)
  if (!ENDS_SIGN_IN.test(route)) credentials.set(caller, fresh)
  return fresh
}

async function send(route: string, caller: Caller, object: ObjectOf, fixed: Record<string, string> = {}): Promise<Reply> {
  const [method = ''] = route.split(' ')
  const path = await world.pathOf(route, object, fixed)
  const { query = '', body, headers } = (await REQUESTS[route]?.(world, object)) ?? {}
  return app.stranger(method, `${path}${query}`, body, { ...headers, ...(await credentialsFor(caller, route)) })
}

const outcomeOf = ({ status, body }: Reply) => `${status} ${String(body?.type ?? '').replace(/.*\//, '')}`.trim()

test('ACL-01: every route of the app has its rule, and every rule its route', () => {
  expect(
    listRoutes(app.app)
      .map(({ method, path }) => `${method} ${path}`)
      .toSorted(),
  ).toEqual(Object.keys(RULES).toSorted())
})

/** What every caller was told by every route, for ACL-10. */
const told: { route: string; caller: Caller; text: string }[] = []

describe('ACL-01, ACL-11: every route, every caller, own and foreign objects', () => {
  test.each(Object.entries(RULES))('%s', async (route, rule) => {
    const found: string[] = []
    const wanted: string[] = []
    for (const object of objectsOf(rule))
      for (const caller of CALLERS) {
        const expected = expectedOf(rule, caller, object)
        const reply = await send(route, caller, object)
        told.push({ route, caller, text: typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body) })
        const answers = ANSWERS[route] ?? [200, 201, 204]
        const isOk = answers.includes(reply.status)
        found.push(`${caller}, ${object}: ${expected === 'ok' && isOk ? 'ok' : outcomeOf(reply)}`)
        wanted.push(`${caller}, ${object}: ${expected === 'ok' ? 'ok' : `${expected} ${problemOf(expected, caller, route)}`}`)
      }
    expect(found).toEqual(wanted)
  })
})

test('ACL-10: no answer to anybody held a secret', () => {
  expect(told.length).toBeGreaterThan(1000)
  const { jwtSecret = '', encryptionKeys = '' } = app.config.access
  const mayChat: Caller[] = ['member', 'owner', 'impersonating admin', 'admin', 'machine key', 'machine key for this agent']
  const never = [/\$2[aby]\$\d\d\$/, /"(password|key|previous|refresh|token)_hash"/, /"encrypted_/, PROVIDER_KEY, jwtSecret, encryptionKeys]
  const found = told.flatMap(({ route, caller, text }) => {
    const holds = (secret: RegExp | string) => (typeof secret === 'string' ? text.includes(secret) : secret.test(text))
    const faults = never.filter(holds).map(String)
    // Shown once, where they are made.
    if (holds(/evo_mk_[0-9A-Za-z]{46}/) && !/^POST .*\/machine-keys/.test(route)) faults.push('a machine key')
    if (holds(/evo_rt_[\w-]{40}/) && !/^POST .*\/auth\/(login|refresh)/.test(route)) faults.push('a refresh token')
    // An agent's own key is for who may talk to it anyway.
    if (holds(world.tenants.own.agentKey) && !mayChat.includes(caller)) faults.push("an agent's key")
    return faults.map((fault) => `${route}, ${caller}: ${fault}`)
  })
  expect(found).toEqual([])
  // It would have been noticed.
  expect(told.some(({ caller, text }) => caller === 'owner' && text.includes(world.tenants.own.agentKey))).toBe(true)
})

describe("ACL-02: another client's object is answered like one that does not exist, byte for byte", () => {
  const byId = Object.entries(RULES).filter(
    ([route, { who, foreign }]) => foreign !== undefined && who !== 'anybody' && /_id(\/|$)/.test(route),
  )
  const fold = ({ body, ...reply }: Reply) => {
    const { trace_id: _, instance: __, ...rest } = body
    return JSON.stringify({ status: reply.status, type: reply.headers.get('content-type'), rest })
  }

  test.each(byId)('%s', async (route) => {
    const names = [...route.matchAll(/:(\w+_id)/g)].map(([, name = '']) => name).filter((name) => name !== 'external_id')
    const lastName = names.at(-1) ?? ''
    // A thing inside the own client: the request names the own client, and the thing is another's.
    const inside = names.length > 1 || /\/(apikeys|folders)\/|\/(?:folder|share)$/.test(route)
    const path = await world.pathOf(route, 'foreign')
    const foreignId = path.split('/')[route.split(' ')[1]?.split('/').indexOf(`:${lastName}`) ?? -1] ?? ''
    const randomId = lastName === 'session_id' ? `${crypto.randomUUID()}_${crypto.randomUUID()}` : crypto.randomUUID()
    const own = inside ? { client_id: world.tenants.own.clientId } : {}
    const [foreign, random] = await Promise.all(
      [foreignId, randomId].map((id) => send(route, 'owner', inside ? 'own' : 'foreign', { ...own, [lastName]: id })),
    )
    expect(foreign?.status).toBe(inside || RULES[route]?.foreign === 404 ? 404 : 403)
    // The session's detail repeats the id that was asked for.
    const blank = (reply: Reply | undefined, id: string) => fold(reply as Reply).replaceAll(id, 'ID')
    expect(blank(foreign, foreignId)).toBe(blank(random, randomId))
  })
})

test('ACL-03, ACL-04: naming another client is 403, an unknown one too, a malformed one 422, and nothing is written', async () => {
  const { own, foreign } = world.tenants
  const list = async (clientId: string) => outcomeOf(await app.ada.call('GET', '/api/v1/agents/', undefined, { 'x-client-id': clientId }))
  expect(await list(foreign.clientId)).toBe('403 forbidden')
  expect(await list(crypto.randomUUID())).toBe('403 forbidden')
  expect(await list('mine')).toBe('422 validation-failed')
  const countOf = async ({ clientId }: typeof own) =>
    Number((await app.admin.call('GET', '/api/v1/agents/?limit=1', undefined, { 'x-client-id': clientId })).headers.get('x-total-count'))
  const before = await countOf(foreign)
  const draft = { client_id: foreign.clientId, name: 'guide', type: 'llm', model: 'demo/echo', config: {} }
  expect(outcomeOf(await app.ada.call('POST', '/api/v1/agents/', draft))).toBe('403 forbidden')
  expect(await countOf(foreign)).toBe(before)
})

test("ACL-02: what another client's owner tried has changed nothing", async () => {
  const { own } = world.tenants
  const before = (await app.ada.call('GET', `/api/v1/agents/${own.agentId}`)).body
  await app.bob.call('PUT', `/api/v1/agents/${own.agentId}`, { description: 'taken over' })
  await app.bob.call('DELETE', `/api/v1/agents/${own.agentId}`)
  await app.bob.call('POST', `/api/v1/runs/${own.runId}/cancel`)
  expect((await app.ada.call('GET', `/api/v1/agents/${own.agentId}`)).body).toEqual(before)
})
