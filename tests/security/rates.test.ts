import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { auditedBy } from '../support/outbox'
import { PASSWORD, type Reply, startApp, type TestApp } from '../support/start-app'
import { outcomeOf } from './transport/row'

let app: TestApp
beforeAll(async () => {
  app = await startApp({
    RATE_SIGN_IN_PER_MINUTE: '10',
    RATE_REQUESTS_PER_MINUTE: '20',
    RATE_WRITES_PER_MINUTE: '5',
    RATE_CHATS_PER_MINUTE: '3',
    RATE_REFUSED_PER_MINUTE: '4',
  })
})
afterAll(() => app.close())
beforeEach(() => app.services.stores.redis.run((client) => client.flushdb()))

const read = () => app.ada.call('GET', '/api/v1/auth/sessions')
const write = () => app.ada.call('PUT', `/api/v1/clients/${app.ada.clientId}`, { name: 'Ada Ltd', email: app.ada.email })
const login = (email = app.ada.email, password = 'not the password') => app.stranger('POST', '/api/v1/auth/login', { email, password })
const statuses = async (times: number, request: () => Promise<Reply>) => {
  const found: Record<string, number> = {}
  for (let i = 0; i < times; i++) {
    const { status } = await request()
    found[status] = (found[status] ?? 0) + 1
  }
  return found
}

test('each kind of request has its own rate, by caller, and every answer says what is left', async () => {
  const first = await read()
  expect([first.headers.get('ratelimit-policy'), first.headers.get('ratelimit')]).toEqual(['"read";q=20;w=60', '"read";r=19;t=3'])
  expect(first.headers.get('cache-control')).toBe('no-store')
  expect(await statuses(25, read)).toEqual({ 200: 19, 429: 6 })
  const over = await read()
  expect(outcomeOf(over)).toBe('429 rate-limited')
  expect(over.headers.get('ratelimit')).toMatch(/^"read";r=0;t=\d+$/)
  expect(Number(over.headers.get('retry-after'))).toBeWithin(1, 4)
  // Writes are counted for themselves, and so is everybody else.
  const written = await write()
  expect([written.status, written.headers.get('ratelimit-policy')]).toEqual([200, '"write";q=5;w=60'])
  expect(await statuses(6, write)).toEqual({ 200: 4, 429: 2 })
  expect((await app.bob.call('GET', '/api/v1/auth/sessions')).status).toBe(200)
  // A refusal for another reason carries them too.
  const foreign = await app.bob.call('GET', `/api/v1/agents/${crypto.randomUUID()}`)
  expect([foreign.status, foreign.headers.get('ratelimit')]).toEqual([404, expect.stringMatching(/^"read";r=18;t=\d+$/)])
})

test("a run counts as a chat, for its caller: a person, a program, or all who hold an agent's key", async () => {
  const { body: agent } = await app.admin.call('POST', '/api/v1/agents/', {
    client_id: app.ada.clientId,
    name: 'guide',
    type: 'llm',
    model: 'demo/echo',
    config: {},
  })
  const { body: machine } = await app.ada.call('POST', `/api/v1/clients/${app.ada.clientId}/machine-keys`, { name: 'k', scopes: ['chat'] })
  const chat = (headers: Record<string, string>) => () =>
    app.stranger('POST', `/api/v1/chat/${agent.id}/somebody`, { message: 'hi' }, headers)
  const byKey = chat({ 'x-api-key': agent.config.api_key })
  const reply = await byKey()
  expect([reply.status, reply.headers.get('ratelimit-policy')]).toEqual([200, '"chat";q=3;w=60'])
  // Looking at a shared agent counts too, and says so.
  const shared = await app.stranger('GET', `/api/v1/agents/${agent.id}/shared`, undefined, { 'x-api-key': agent.config.api_key })
  expect([shared.headers.get('ratelimit'), shared.headers.get('cache-control')]).toEqual([
    expect.stringMatching(/^"chat";r=1;/),
    'no-store',
  ])
  expect(await statuses(4, byKey)).toEqual({ 200: 1, 429: 3 })
  expect(await statuses(5, chat({ authorization: `Bearer ${app.ada.token}` }))).toEqual({ 200: 3, 429: 2 })
  expect(await statuses(5, chat({ authorization: `Bearer ${machine.key}` }))).toEqual({ 200: 3, 429: 2 })
})

test('PWD-10: one password against many accounts from one address is stopped by the rate of the address, and locks no account', async () => {
  const emails = ['ada@example.com', 'bob@example.com', ...Array.from({ length: 38 }, (_, index) => `somebody-${index}@example.com`)]
  const replies: Reply[] = []
  for (const email of emails) replies.push(await login(email))
  expect(replies.map(outcomeOf)).toEqual([...Array(10).fill('401 invalid-credentials'), ...Array(30).fill('429 rate-limited')])
  expect(replies[0]?.headers.get('ratelimit-policy')).toBe('"sign-in";q=10;w=60')
  expect(Number(replies[20]?.headers.get('retry-after'))).toBeWithin(1, 7)
  await app.services.stores.redis.run((client) => client.flushdb())
  const signedIn = await login('bob@example.com', PASSWORD)
  // RFC 6749 §5.1: no cache keeps an answer that holds tokens.
  expect([signedIn.status, signedIn.headers.get('cache-control')]).toEqual([200, 'no-store'])
})

test('whoever brings bad credentials over and over is told to wait, and good ones are not hindered', async () => {
  const bad = () => app.callWith('evo_mk_00000000000000000000000000000000000000002kaqcA')('GET', '/api/v1/auth/sessions')
  const alsoBad = () => app.callWith('a.b.c')('GET', '/api/v1/auth/sessions')
  expect(await statuses(3, bad)).toEqual({ 401: 3 })
  expect(await statuses(3, alsoBad)).toEqual({ 401: 1, 429: 2 })
  expect((await read()).status).toBe(200)
})

test("who guesses an agent's key is told to wait, and does not use up the rate of those who have it", async () => {
  const draft = { client_id: app.bob.clientId, name: 'guide', type: 'llm', model: 'demo/echo', config: {} }
  const { body: agent } = await app.admin.call('POST', '/api/v1/agents/', draft)
  const chat = (key: string) => app.stranger('POST', `/api/v1/chat/${agent.id}/somebody`, { message: 'hi' }, { 'x-api-key': key })
  expect(await statuses(6, () => chat('a guess'))).toEqual({ 401: 4, 429: 2 })
  expect(await statuses(3, () => chat(agent.config.api_key))).toEqual({ 200: 3 })
})

test('F-05: a command whose reply was lost counts once more at most, and nobody is locked out by it', async () => {
  const { admission } = app.services
  const spent = []
  for (let i = 0; i < 3; i++) spent.push((await admission.admit('doubled', 'chat')).rate.remaining)
  expect(spent).toEqual([2, 1, 0])
  await expect(admission.admit('doubled', 'chat')).rejects.toMatchObject({ problem: 'rate-limited' })
  // A refusal costs nothing: the next request is due as if it had not been.
  const { retryAfterSeconds } = await admission.admit('doubled', 'chat').catch((error) => error)
  expect(retryAfterSeconds).toBeWithin(1, 21)
})

test('a refused request is not audited as a denial: it says nothing about rights', async () => {
  await statuses(21, read)
  expect((await auditedBy(app)).filter(({ action, details }) => action === 'denied' && details?.problem === 'rate-limited')).toEqual([])
})
