import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app.close())

const draft = (clientId: string, more: object = {}) => ({
  client_id: clientId,
  name: 'scout',
  type: 'llm',
  model: 'demo/echo',
  config: {},
  ...more,
})

test('an agent is created, read, listed, changed and deleted by its client', async () => {
  const { call, clientId } = app.ada
  const created = await call('POST', '/api/v1/agents/', draft(clientId, { instruction: 'Be kind.' }))
  expect(created).toMatchObject({
    status: 201,
    body: { name: 'scout', client_id: clientId, instruction: 'Be kind.', config: { tools: null } },
  })
  const { id, config } = created.body
  expect(config.api_key).toMatch(/^[0-9a-f-]{36}$/)
  expect(await call('GET', `/api/v1/agents/${id}`)).toMatchObject({ status: 200, body: created.body })
  const list = await call('GET', '/api/v1/agents/?limit=10', undefined, { 'x-client-id': clientId })
  expect(list.body).toEqual([created.body])
  expect(list.headers.get('x-total-count')).toBe('1')
  const changed = await call('PUT', `/api/v1/agents/${id}`, { ...created.body, name: 'guide' })
  expect(changed).toMatchObject({ status: 200, body: { id, name: 'guide', config: { api_key: config.api_key } } })
  expect((await call('DELETE', `/api/v1/agents/${id}`)).status).toBe(204)
  expect((await call('GET', `/api/v1/agents/${id}`)).status).toBe(404)
})

test('to another client an agent does not exist', async () => {
  const { body } = await app.ada.call('POST', '/api/v1/agents/', draft(app.ada.clientId))
  const foreign = await app.bob.call('GET', `/api/v1/agents/${body.id}`)
  const unknown = await app.bob.call('GET', `/api/v1/agents/${crypto.randomUUID()}`)
  const comparable = ({ body: { trace_id: _, instance: __, ...rest } }: typeof foreign) => rest
  expect(foreign.status).toBe(404)
  expect(comparable(foreign)).toEqual(comparable(unknown))
  expect((await app.bob.call('PUT', `/api/v1/agents/${body.id}`, { name: 'mine' })).status).toBe(404)
  expect((await app.bob.call('DELETE', `/api/v1/agents/${body.id}`)).status).toBe(404)
  expect((await app.bob.call('POST', '/api/v1/agents/', draft(app.ada.clientId))).status).toBe(403)
})

test('what an agent may not be is refused with a pointer', async () => {
  const { call, clientId } = app.ada
  const refused = async (more: object) => {
    const { status, body } = await call('POST', '/api/v1/agents/', draft(clientId, more))
    return `${status} ${body.errors?.[0]?.pointer}`
  }
  expect(await refused({ name: 'two words' })).toBe('422 /name')
  expect(await refused({ name: '' })).toBe('422 /name')
  expect(await refused({ model: '' })).toBe('422 /model')
  expect(await refused({ model: 'nobody/knows' })).toBe('422 /model')
  expect(await refused({ type: 'crew_ai' })).toBe('422 /type')
  expect(await refused({ folder_id: crypto.randomUUID() })).toBe('422 /folder_id')
  expect(await refused({ api_key_id: crypto.randomUUID() })).toBe('422 /api_key_id')
  expect(await refused({ config: { agent_tools: 'x' } })).toBe('422 /config/agent_tools')
  expect(await refused({ is_admin: true })).toBe('422 /is_admin')
})

test('what is no key of an agent is refused, and not replaced by one', async () => {
  const { call, clientId } = app.ada
  const { id, config } = (await call('POST', '/api/v1/agents/', draft(clientId))).body
  for (const api_key of [5, true, {}, ['x'], 'x'.repeat(201)])
    for (const reply of [
      await call('POST', '/api/v1/agents/', draft(clientId, { config: { api_key } })),
      await call('PUT', `/api/v1/agents/${id}`, { config: { api_key } }),
    ])
      expect(reply).toMatchObject({ status: 422, body: { errors: [{ pointer: '/config/api_key' }] } })
  for (const api_key of [null, ''])
    expect(await call('PUT', `/api/v1/agents/${id}`, { config: { api_key } })).toMatchObject({ status: 200, body: { config } })
})

test('COST-04: fifty parallel creations with one Idempotency-Key make one agent and give one answer', async () => {
  const { call, clientId } = app.ada
  const key = { 'idempotency-key': crypto.randomUUID() }
  const replies = await Promise.all(
    Array.from({ length: 50 }, () => call('POST', '/api/v1/agents/', draft(clientId, { name: 'once' }), key)),
  )
  const created = replies.filter(({ status }) => status === 201)
  expect(replies.every(({ status }) => status === 201 || status === 409 || status === 503)).toBe(true)
  expect(new Set(created.map(({ body }) => body.id)).size).toBe(1)
  const again = await call('POST', '/api/v1/agents/', draft(clientId, { name: 'once' }), key)
  expect(again).toMatchObject({ status: 201, body: created[0]?.body })
  expect((await call('POST', '/api/v1/agents/', draft(clientId, { name: 'other' }), key)).body.type).toEndWith('/idempotency-key-reused')
  expect((await app.bob.call('POST', '/api/v1/agents/', draft(app.bob.clientId, { name: 'once' }), key)).status).toBe(201)
})
