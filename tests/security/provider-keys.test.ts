import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { auditedBy } from '../support/outbox'
import { openai, sse } from '../support/raw-provider'
import { type Person, startApp, type TestApp } from '../support/start-app'
import { outcomeOf } from './transport/row'

const KEYS = '/api/v1/agents/apikeys/'
const AGENTS = '/api/v1/agents/'
const SECRET = 'provider-secret-4f6Hk2Lm8Np0'

let app: TestApp
let provider: ReturnType<typeof Bun.serve>
/** What came to the provider as a credential. */
let presented: (string | null)[] = []
beforeAll(async () => {
  provider = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request) {
      presented.push(request.headers.get('authorization'))
      if (new URL(request.url).pathname === '/models')
        return Response.json({}, { status: presented.at(-1) === `Bearer ${SECRET}` ? 200 : 401 })
      return sse(openai.text('hello'), openai.end('stop'), '[DONE]')
    },
  })
  app = await startApp({ OPENAI_BASE_URL: `http://127.0.0.1:${provider.port}` })
})
afterAll(async () => {
  await app.close()
  await provider.stop(true)
})

const own = ({ clientId }: Person) => ({ 'x-client-id': clientId })
async function keyOf(person: Person, value = SECRET): Promise<string> {
  const { body } = await person.call('POST', KEYS, { client_id: person.clientId, name: 'k', provider: 'openai', key_value: value })
  return body.id
}
const agentWith = async (person: Person, more: object) =>
  (
    await person.call('POST', AGENTS, {
      client_id: person.clientId,
      name: 'asks',
      type: 'llm',
      model: 'openai/gpt-4o',
      config: {},
      ...more,
    })
  ).body as { id: string; config: { api_key: string } }
const chat = async ({ call }: Person, id: string) => {
  presented = []
  const { status, headers, body } = await call('POST', `/api/v1/chat/${id}/somebody`, { message: 'hi' })
  return status === 200 ? '200' : outcomeOf({ status, headers, body: JSON.stringify(body) })
}

test('KEY-01: a provider key is never told again, by list, detail, change, export, agent or refusal', async () => {
  const id = await keyOf(app.ada)
  const agent = await agentWith(app.ada, { api_key_id: id })
  const { call } = app.ada
  const told = await Promise.all([
    call('GET', KEYS, undefined, own(app.ada)),
    call('GET', KEYS + id, undefined, own(app.ada)),
    call('PUT', KEYS + id, { name: 'renamed' }, own(app.ada)),
    call('PUT', KEYS + id, { key_value: SECRET, what: 'ever' }, own(app.ada)),
    call('POST', KEYS, { client_id: app.ada.clientId, name: 'k', provider: 5, key_value: SECRET }),
    call('GET', `${AGENTS}${agent.id}`),
    call('GET', `${AGENTS}export`, undefined, own(app.ada)),
    app.admin.call('GET', KEYS + id, undefined, own(app.ada)),
  ])
  expect(told.map(({ status }) => status)).toEqual([200, 200, 200, 422, 422, 200, 200, 200])
  for (const { body } of told) expect(JSON.stringify(body)).not.toContain(SECRET.slice(0, -4))
  expect(told[1]?.body).toMatchObject({ provider: 'openai', last_four: SECRET.slice(-4) })
})

test('defect 6: whoever renames a key, with an empty value as the web frontend does, keeps it', async () => {
  const id = await keyOf(app.ada)
  const agent = await agentWith(app.ada, { api_key_id: id })
  for (const change of [{ name: 'other', provider: 'openai', key_value: '', is_active: true }, { name: 'again' }, { key_value: null }])
    expect((await app.ada.call('PUT', KEYS + id, change, own(app.ada))).body).toMatchObject({ last_four: SECRET.slice(-4) })
  expect(await chat(app.ada, agent.id)).toBe('200')
  expect(presented).toEqual([`Bearer ${SECRET}`])
  expect((await app.ada.call('PUT', KEYS + id, { key_value: 'another-secret-0001' }, own(app.ada))).status).toBe(200)
  expect(await chat(app.ada, agent.id)).toBe('200')
  expect(presented).toEqual(['Bearer another-secret-0001'])
})

test('the use of a provider key is audited once for each run', async () => {
  const id = await keyOf(app.ada)
  const agent = await agentWith(app.ada, { api_key_id: id })
  for (const _ of [1, 2]) expect(await chat(app.ada, agent.id)).toBe('200')
  const uses = (await auditedBy(app)).filter(({ details }) => details?.api_key_id === id)
  expect(uses).toMatchObject(
    [1, 2].map(() => ({ action: 'run', resource_id: agent.id, user_id: app.ada.userId, client_id: app.ada.clientId })),
  )
  expect(new Set(uses.map(({ details }) => details?.run_id)).size).toBe(2)
})

test('KEY-02: a ciphertext that was exchanged, changed or is of another client opens nothing, and the call ends with 503', async () => {
  const [one, two, foreign] = [await keyOf(app.ada), await keyOf(app.ada, 'another-secret-0002'), await keyOf(app.bob)]
  const agent = await agentWith(app.ada, { api_key_id: one })
  const { db } = app.services
  const sealedOf = async (id: string) =>
    String((await db.execute<{ sealed: string }>(sql`select encrypted_key as sealed from api_keys where id = ${id}`))[0]?.sealed)
  const good = await sealedOf(one)
  const store = (sealed: string) => db.execute(sql`update api_keys set encrypted_key = ${sealed} where id = ${one}`)
  const at = good.length - 8
  const spoilt = {
    'of another row': await sealedOf(two),
    'of another client': await sealedOf(foreign),
    'one character changed': good.slice(0, at) + (good[at] === 'A' ? 'B' : 'A') + good.slice(at + 1),
    'cut off': good.slice(0, -4),
    'no ciphertext': 'plain text',
  }
  for (const [what, sealed] of Object.entries(spoilt)) {
    await store(sealed)
    expect([what, await chat(app.ada, agent.id), presented]).toEqual([what, '503 secret-unavailable', []])
  }
  expect(app.logged()).toContain('secret-unavailable')
  await store(good)
  expect(await chat(app.ada, agent.id)).toBe('200')
  expect(presented).toEqual([`Bearer ${SECRET}`])
})

test("defect 26: an id in place of an agent's key is nobody's provider key, and an agent's key goes to no provider", async () => {
  const [mine, foreign] = [await keyOf(app.ada), await keyOf(app.bob)]
  const refused = '502 upstream-error'
  for (const config of [{}, { api_key: mine }, { api_key: foreign }]) {
    const agent = await agentWith(app.ada, { config })
    expect([config, await chat(app.ada, agent.id), presented]).toEqual([config, refused, []])
  }
})

test('a check asks the provider with the key itself, is audited, and tells the key to nobody', async () => {
  const { call } = app.ada
  const [good, wrong] = [await keyOf(app.ada), await keyOf(app.ada, 'another-secret-0003')]
  const check = async (id: string, headers = {}) =>
    (await call('POST', `${KEYS}${id}/check`, undefined, { ...own(app.ada), ...headers })).body
  presented = []
  expect(await check(good)).toMatchObject({ ok: true, provider: 'openai', outcome: 'accepted' })
  expect(await check(wrong)).toMatchObject({ ok: false, outcome: 'refused', detail: 'openai refused the key (401).' })
  expect(presented).toEqual([`Bearer ${SECRET}`, 'Bearer another-secret-0003'])
  expect((await call('DELETE', KEYS + wrong, undefined, own(app.ada))).status).toBe(204)
  expect(await check(wrong)).toMatchObject({ ok: false, outcome: 'inactive' })
  expect(presented.length).toBe(2)
  const rows = await app.services.db.execute<{ details: unknown; user_id: string }>(
    sql`select payload->'details' as details, payload->>'user_id' as user_id from outbox where payload->>'action' = 'check' order by id`,
  )
  expect(rows.map(({ details, user_id }) => [details, user_id])).toEqual(
    ['accepted', 'refused', 'inactive'].map((outcome) => [{ provider: 'openai', outcome }, app.ada.userId]),
  )
  for (const secret of [SECRET, 'another-secret-0003']) expect(app.logged()).not.toContain(secret)
})

test('a check that is repeated with its Idempotency-Key has the first answer', async () => {
  const headers = { ...own(app.ada), 'idempotency-key': 'check-once' }
  const id = await keyOf(app.ada)
  const first = await app.ada.call('POST', `${KEYS}${id}/check`, undefined, headers)
  const again = await app.ada.call('POST', `${KEYS}${id}/check`, undefined, headers)
  expect([first.status, again.status]).toEqual([200, 200])
  expect(again.body).toEqual(first.body)
})
