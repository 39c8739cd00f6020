import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { type Person, type Reply, startApp, type TestApp } from '../support/start-app'
import { all, outcomeOf, outcomes } from './transport/row'

/** ACL-06 to ACL-08. The others are held by access-matrix.test.ts, for every route. */

let app: TestApp
interface Agent {
  id: string
  config: { api_key: string }
}
let guide: Agent
let scout: Agent
let foreign: Agent
beforeAll(async () => {
  app = await startApp()
  guide = await makeAgent(app.ada, 'guide')
  scout = await makeAgent(app.ada, 'scout')
  foreign = await makeAgent(app.bob, 'foreign')
})
afterAll(() => app.close())

const makeAgent = async ({ call, clientId }: Person, name: string): Promise<Agent> =>
  (await call('POST', '/api/v1/agents/', { client_id: clientId, name, type: 'llm', model: 'demo/echo', config: {} })).body
const chat = ({ id }: { id: string }, key: string, externalId = 'visitor') =>
  app.stranger('POST', `/api/v1/chat/${id}/${externalId}`, { message: 'hi' }, { 'x-api-key': key })
const fold = ({ status, body }: Reply) => {
  const { trace_id: _, instance: __, ...rest } = body
  return JSON.stringify({ status, rest })
}

test("ACL-06: an agent's key opens no other agent, of the same client or another, and all refusals are the same", async () => {
  expect((await chat(guide, guide.config.api_key)).status).toBe(200)
  const attempts = {
    'the same client': () => chat(scout, guide.config.api_key),
    'another client': () => chat(foreign, guide.config.api_key),
    'an agent that does not exist': () => chat({ id: crypto.randomUUID() }, guide.config.api_key),
    'one letter off': () =>
      chat(
        guide,
        guide.config.api_key.replace(/.$/, (last) => (last === '0' ? '1' : '0')),
      ),
    'another case': () => chat(guide, guide.config.api_key.toUpperCase()),
    empty: () => chat(guide, ''),
  }
  expect(await outcomes(attempts, async (attempt) => outcomeOf(await attempt()))).toEqual(all(attempts, '401 invalid-api-key'))
  const bodies = new Set<string>()
  for (const attempt of Object.values(attempts)) bodies.add(fold(await attempt()))
  expect(bodies.size).toBe(1)
})

test("ACL-06: an agent's key reads no history, no agent and no list", async () => {
  const headers = { 'x-api-key': guide.config.api_key, 'x-client-id': app.ada.clientId }
  const paths = [
    `/sessions/visitor_${guide.id}`,
    `/sessions/visitor_${guide.id}/messages`,
    `/sessions/agent/${guide.id}`,
    `/sessions/client/${app.ada.clientId}`,
    `/agents/${guide.id}`,
    '/agents/',
    '/agents/apikeys',
  ]
  const results = await outcomes(Object.fromEntries(paths.map((path) => [path, path])), async (path) =>
    outcomeOf(await app.stranger('GET', `/api/v1${path}`, undefined, headers)),
  )
  expect(results).toEqual(all(results, '401 unauthenticated'))
})

test("ACL-06, defect 44: agents' keys are stored as a hash and sealed, never in clear", async () => {
  const rows = JSON.stringify(
    await app.services.db.execute(sql`select (select json_agg(a) from agents a)::text, (select json_agg(o) from outbox o)::text`),
  )
  for (const { config } of [guide, scout, foreign]) expect(rows).not.toContain(config.api_key)
})

test('ACL-07: a session id that was put together from known parts opens nothing of another client', async () => {
  await chat(guide, guide.config.api_key, 'known-visitor')
  const guess = `known-visitor_${guide.id}`
  expect((await app.ada.call('GET', `/api/v1/sessions/${guess}/messages`)).status).toBe(200)
  for (const [method, path] of [
    ['GET', ''],
    ['GET', '/messages'],
    ['DELETE', ''],
  ] as const) {
    const [found, absent] = [
      await app.bob.call(method, `/api/v1/sessions/${guess}${path}`),
      await app.bob.call(method, `/api/v1/sessions/nobody_${crypto.randomUUID()}${path}`),
    ]
    expect([method, path, outcomeOf(found), outcomeOf(absent)]).toEqual([method, path, '404 not-found', '404 not-found'])
  }
  expect((await app.ada.call('GET', `/api/v1/sessions/${guess}`)).status).toBe(200)
})

test('ACL-08: a list is sorted by what it names and by nothing else', async () => {
  const wrong = {
    'a column that is not shown': 'sort_by=key_hash',
    'a password': 'sort_by=password_hash',
    'an expression': `sort_by=${encodeURIComponent("config->>'api_key'")}`,
    'a property of objects': 'sort_by=__proto__',
    'a method of objects': 'sort_by=constructor',
    'another case': 'sort_by=NAME',
    'two at once': 'sort_by=name&sort_by=created_at',
    'nothing at all': 'sort_by=',
    'SQL for a direction': `sort_direction=${encodeURIComponent(';drop table agents')}`,
    'a direction of no kind': 'sort_direction=up',
  }
  for (const list of ['/agents/', '/agents/apikeys']) {
    const ask = async (query: string) =>
      outcomeOf(await app.ada.call('GET', `/api/v1${list}?${query}`, undefined, { 'x-client-id': app.ada.clientId }))
    expect([list, await outcomes(wrong, ask)]).toEqual([list, all(wrong, '422 validation-failed')])
    expect(await ask('sort_by=name&sort_direction=desc')).toBe('200 body')
  }
})
