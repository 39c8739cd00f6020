import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { auditedBy } from '../support/outbox'
import { startApp, type TestApp } from '../support/start-app'
import { outcomeOf } from './transport/row'

let app: TestApp
let agentId: string
let otherAgentId: string
beforeAll(async () => {
  app = await startApp()
  agentId = await makeAgent('guide')
  otherAgentId = await makeAgent('scout')
})
afterAll(() => app.close())

const makeAgent = async (name: string): Promise<string> =>
  (await app.ada.call('POST', '/api/v1/agents/', { client_id: app.ada.clientId, name, type: 'llm', model: 'demo/echo', config: {} })).body
    .id
const keysUrl = (clientId = app.ada.clientId) => `/api/v1/clients/${clientId}/machine-keys`
const make = async (more: object = {}, headers: Record<string, string> = {}) =>
  app.ada.call('POST', keysUrl(), { name: 'nightly job', scopes: ['agents:read', 'chat'], ...more }, headers)
const readAgent = (key: string, id = agentId) => app.callWith(key)('GET', `/api/v1/agents/${id}`)
const REFUSED = '401 invalid-token'

test('an owner makes a key; its secret is shown once and opens what its scopes say, as Bearer and in x-api-key', async () => {
  const { status, body } = await make()
  expect(status).toBe(201)
  expect(body).toMatchObject({ client_id: app.ada.clientId, agent_id: null, scopes: ['agents:read', 'chat'], created_by: app.ada.userId })
  expect(body.key).toMatch(/^evo_mk_[0-9A-Za-z]{46}$/)
  expect(body.key).toEndWith(body.last_four)
  expect((await readAgent(body.key)).body.id).toBe(agentId)
  const byHeader = await app.stranger('GET', `/api/v1/agents/${agentId}`, undefined, { 'x-api-key': body.key })
  expect(byHeader.status).toBe(200)
  for (const headers of [{ authorization: `Bearer ${body.key}` }, { 'x-api-key': body.key }]) {
    const answer = await app.stranger('POST', `/api/v1/chat/${agentId}/visitor`, { message: 'hi' }, headers as Record<string, string>)
    expect([answer.status, answer.body.response]).toEqual([200, 'Echo: hi'])
  }
  const write = await app.callWith(body.key)('PUT', `/api/v1/agents/${agentId}`, { description: 'x' })
  expect([outcomeOf(write), write.body.detail]).toEqual(['403 forbidden', 'This key does not allow agents:write here.'])
  const listed = (await app.ada.call('GET', keysUrl())).body.find(({ id }: { id: string }) => id === body.id)
  expect(Object.keys(listed)).not.toContain('key')
})

test('it opens nothing that is for people, and the attempt is audited', async () => {
  const { body } = await make({ scopes: ['agents:read', 'agents:write', 'chat', 'keys:write', 'runs:write', 'sessions:write'] })
  const call = app.callWith(body.key)
  for (const [method, path] of [
    ['POST', '/api/v1/auth/me'],
    ['GET', '/api/v1/auth/sessions'],
    ['GET', '/api/v1/admin/users'],
    ['GET', `/api/v1/clients/${app.ada.clientId}/members`],
    ['GET', keysUrl()],
    ['POST', keysUrl()],
    ['POST', '/api/v1/auth/change-password'],
  ] as const)
    expect([path, outcomeOf(await call(method, path, method === 'POST' ? {} : undefined))]).toEqual([path, '403 forbidden'])
  const denied = (await auditedBy(app)).filter(({ action, details }) => action === 'denied' && details?.machine_key_id === body.id)
  expect(denied.length).toBe(7)
  expect(denied[0]).toMatchObject({ user_id: null, client_id: app.ada.clientId })
})

test('what it does is audited in its name', async () => {
  const { body } = await make({ scopes: ['agents:write'] })
  const draft = { client_id: app.ada.clientId, name: 'made-by-key', type: 'llm', model: 'demo/echo', config: {} }
  const created = await app.callWith(body.key)('POST', '/api/v1/agents/', draft)
  expect(created.status).toBe(201)
  expect((await auditedBy(app)).find(({ resource_id }) => resource_id === created.body.id)).toMatchObject({
    action: 'create',
    user_id: null,
    details: { machine_key_id: body.id },
  })
  const foreign = await app.callWith(body.key)('POST', '/api/v1/agents/', { ...draft, client_id: app.bob.clientId })
  expect(outcomeOf(foreign)).toBe('403 forbidden')
})

test('a key for one agent opens that agent alone', async () => {
  const { body } = await make({ agent_id: agentId, scopes: ['agents:read', 'chat', 'sessions:read', 'runs:read'] })
  expect((await readAgent(body.key)).status).toBe(200)
  expect(outcomeOf(await readAgent(body.key, otherAgentId))).toBe('404 not-found')
  const call = app.callWith(body.key)
  expect((await call('POST', `/api/v1/chat/${otherAgentId}/visitor`, { message: 'hi' })).status).toBe(404)
  // Nor once the server remembers whose that other agent is.
  expect((await app.ada.call('POST', `/api/v1/chat/${otherAgentId}/visitor`, { message: 'hi' })).status).toBe(200)
  expect((await call('POST', `/api/v1/chat/${otherAgentId}/visitor`, { message: 'hi' })).status).toBe(404)
  const list = await call('GET', '/api/v1/agents/', undefined, { 'x-client-id': app.ada.clientId })
  expect(list.body.map(({ id }: { id: string }) => id)).toEqual([agentId])
})

test('what cannot be granted is refused, with its field', async () => {
  const bobs = (
    await app.bob.call('POST', '/api/v1/agents/', {
      client_id: app.bob.clientId,
      name: 'bobs',
      type: 'llm',
      model: 'demo/echo',
      config: {},
    })
  ).body.id
  const pointers: [object, string][] = [
    [{ scopes: [] }, '/scopes'],
    [{ scopes: ['agents:read', 'agents:read'] }, '/scopes'],
    [{ scopes: ['members:write'] }, '/scopes/0'],
    [{ scopes: ['keys:read'], agent_id: agentId }, '/scopes'],
    [{ scopes: ['chat', 'contacts:read'], agent_id: agentId }, '/scopes'],
    [{ agent_id: bobs }, '/agent_id'],
    [{ agent_id: crypto.randomUUID() }, '/agent_id'],
    [{ expires_at: '2020-01-01T00:00:00Z' }, '/expires_at'],
    [{ expires_at: 'tomorrow' }, '/expires_at'],
    [{ name: '' }, '/name'],
    [{ client_id: app.ada.clientId }, '/client_id'],
  ]
  for (const [more, pointer] of pointers) {
    const reply = await make(more)
    expect([more, reply.status, reply.body.errors?.[0]?.pointer]).toEqual([more, 422, pointer])
  }
})

test('a wrong, mistyped, expired or revoked key is refused, each with the same words', async () => {
  const { body } = await make()
  const soon = (await make({ expires_at: new Date(Date.now() + 3_600_000).toISOString() })).body
  expect((await readAgent(soon.key)).status).toBe(200)
  await app.services.db.execute(sql`update machine_keys set expires_at = now() where id = ${soon.id}::uuid`)
  const gone = (await make()).body
  expect((await readAgent(gone.key)).status).toBe(200)
  expect((await app.ada.call('DELETE', `${keysUrl()}/${gone.id}`)).status).toBe(204)
  const attempts = {
    'another letter': body.key.replace(/.$/, body.key.endsWith('0') ? '1' : '0'),
    'well-formed, of nobody': `evo_mk_${'0'.repeat(40)}2kaqcA`,
    'too short': body.key.slice(0, -1),
    'another case': body.key.toUpperCase(),
    revoked: gone.key,
  }
  for (const [label, key] of Object.entries(attempts)) expect([label, outcomeOf(await readAgent(key))]).toEqual([label, REFUSED])
  // Its row is looked at again within a second.
  while ((await readAgent(soon.key)).status === 200) await Bun.sleep(50)
  expect(outcomeOf(await readAgent(soon.key))).toBe(REFUSED)
  expect((await app.ada.call('DELETE', `${keysUrl()}/${gone.id}`)).status).toBe(404)
  const twice = await app.stranger('GET', `/api/v1/agents/${agentId}`, undefined, {
    'x-api-key': body.key,
    authorization: `Bearer ${app.ada.token}`,
  })
  expect(outcomeOf(twice)).toBe('400 invalid-request')
})

test('a rotation gives a new secret, and leaves the former one its time', async () => {
  const { body } = await make()
  const rotate = (overlap?: object) => app.ada.call('POST', `${keysUrl()}/${body.id}/rotate`, overlap)
  const { body: rotated } = await rotate()
  expect(rotated.id).toBe(body.id)
  expect([(await readAgent(body.key)).status, (await readAgent(rotated.key)).status]).toEqual([200, 200])
  const { body: again } = await rotate({ overlap_seconds: 60 })
  expect([(await readAgent(body.key)).status, (await readAgent(rotated.key)).status]).toEqual([401, 200])
  const { body: last } = await rotate({ overlap_seconds: 0 })
  expect([(await readAgent(again.key)).status, (await readAgent(last.key)).status]).toEqual([401, 200])
  for (const overlap of [604_801, -1, 1.5, '60', '1e0', '-1']) {
    const refused = await rotate({ overlap_seconds: overlap })
    expect(refused).toMatchObject({ status: 422, body: { errors: [{ pointer: '/overlap_seconds' }] } })
    expect(refused.body.detail).toStartWith('overlap_seconds: Expected integer')
  }
  const actions = (await auditedBy(app)).filter(({ resource_id }) => resource_id === body.id).map(({ action }) => action)
  expect(actions).toEqual(['create', 'rotate', 'rotate', 'rotate'])
})

test('what ends a key ends its former secret too, and one that has expired is not rotated', async () => {
  const { body } = await make()
  const one = `${keysUrl()}/${body.id}`
  const headers = { 'idempotency-key': crypto.randomUUID() }
  const replies = [await app.ada.call('POST', `${one}/rotate`, {}, headers), await app.ada.call('POST', `${one}/rotate`, {}, headers)]
  expect(replies.map(({ status, body: { key } }) => [status, key === null])).toEqual([
    [200, false],
    [200, true],
  ])
  const both = async () => [(await readAgent(body.key)).status, (await readAgent(replies[0]?.body.key)).status]
  // The second answers come from what is remembered of the keys.
  expect([await both(), await both()]).toEqual([
    [200, 200],
    [200, 200],
  ])
  expect((await app.ada.call('DELETE', one)).status).toBe(204)
  expect(await both()).toEqual([401, 401])

  const old = (await make()).body
  await app.services.db.execute(sql`update machine_keys set expires_at = now() where id = ${old.id}::uuid`)
  expect(outcomeOf(await app.ada.call('POST', `${keysUrl()}/${old.id}/rotate`))).toBe('409 conflict')
})

test('it tells when it was used', async () => {
  const { body } = await make()
  expect(body.last_used_at).toBeNull()
  await readAgent(body.key)
  const lastUse = async () => (await app.ada.call('GET', keysUrl())).body.find(({ id }: { id: string }) => id === body.id).last_used_at
  while ((await lastUse()) === null) await Bun.sleep(20)
  expect(Math.abs(Date.parse(await lastUse()) - Date.now())).toBeLessThan(60_000)
})

test('a repeated request with an Idempotency-Key makes one key and shows no secret twice', async () => {
  const headers = { 'idempotency-key': crypto.randomUUID() }
  const [first, second] = [await make({}, headers), await make({}, headers)]
  expect([first.status, second.status, second.body.id]).toEqual([201, 201, first.body.id])
  expect([first.body.key === null, second.body.key]).toEqual([false, null])
})

test('a key for one agent shares no other, and takes back no link of another', async () => {
  const draft = { client_id: app.ada.clientId, name: 'neighbour', type: 'llm', model: 'demo/echo' }
  const neighbour = (await app.ada.call('POST', '/api/v1/agents/', draft)).body.id
  const own = { 'x-client-id': app.ada.clientId }
  const link = (await app.ada.call('POST', `/api/v1/agents/${neighbour}/share`, undefined, own)).body.api_key
  const call = app.callWith((await make({ agent_id: agentId, scopes: ['agents:write'] })).body.key)
  expect((await call('POST', `/api/v1/agents/${agentId}/share`, undefined, own)).status).toBe(200)
  expect((await call('POST', `/api/v1/agents/${neighbour}/share`, undefined, own)).status).toBe(404)
  expect((await call('DELETE', `/api/v1/agents/${neighbour}/share`)).status).toBe(404)
  expect((await app.stranger('GET', `/api/v1/agents/${neighbour}/shared`, undefined, { 'x-api-key': link })).status).toBe(200)
})

test('a client has a hundred keys at most', async () => {
  await app.services.db.execute(
    sql`insert into machine_keys (id, client_id, name, scopes, key_hash, last_four)
      select gen_random_uuid(), ${app.bob.clientId}::uuid, 'k', '{chat}', decode(md5(n::text), 'hex'), '0000' from generate_series(1, 100) n`,
  )
  const reply = await app.bob.call('POST', keysUrl(app.bob.clientId), { name: 'one more', scopes: ['chat'] })
  expect(outcomeOf(reply)).toBe('409 conflict')
})

test('no secret is stored or logged in clear', async () => {
  const { body } = await make()
  await readAgent(body.key)
  const rows = await app.services.db.execute(
    sql`select (select json_agg(k) from machine_keys k)::text as keys, (select json_agg(o) from outbox o)::text as outbox,
      (select json_agg(i) from idempotency_keys i)::text as answers`,
  )
  for (const text of [JSON.stringify(rows), app.logged()]) expect(text).not.toContain(body.key.slice(10, 40))
})
