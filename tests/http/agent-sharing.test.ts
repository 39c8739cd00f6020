import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app.close())

const own = () => ({ 'x-client-id': app.ada.clientId })
const make = async (more: object = {}) =>
  (
    await app.ada.call('POST', '/api/v1/agents/', {
      client_id: app.ada.clientId,
      name: 'guide',
      type: 'llm',
      model: 'demo/echo',
      instruction: 'the prompt',
      ...more,
    })
  ).body
const share = (id: string) => app.ada.call('POST', `/api/v1/agents/${id}/share`, {}, own())
const shared = (id: string, key: string) => app.stranger('GET', `/api/v1/agents/${id}/shared`, undefined, { 'x-api-key': key })
const chat = (id: string, key: string) => app.stranger('POST', `/api/v1/chat/${id}/user`, { message: 'hi' }, { 'x-api-key': key })

test('defect 77: a shared agent is chatted with by a key of its own, the same one until it is taken back', async () => {
  const agent = await make()
  const first = await share(agent.id)
  expect([first.status, first.body.api_key]).toEqual([200, (await share(agent.id)).body.api_key])
  const { api_key: key } = first.body
  expect(key).not.toBe(agent.config.api_key)
  expect((await chat(agent.id, key)).status).toBe(200)
  expect((await app.ada.call('DELETE', `/api/v1/agents/${agent.id}/share`)).status).toBe(204)
  expect((await chat(agent.id, key)).body.type).toEndWith('/invalid-api-key')
  expect((await shared(agent.id, key)).status).toBe(401)
  expect((await share(agent.id)).body.api_key).not.toBe(key)
  expect((await chat(agent.id, agent.config.api_key)).status).toBe(200)
})

test('ACL-09, defect 34: the holder of a key sees neither prompt nor secret nor key, and opens no other agent', async () => {
  const inner = await make()
  const agent = await make({
    config: {
      sub_agents: [inner.id],
      custom_tools: {
        http_tools: [{ name: 'one', method: 'GET', endpoint: 'https://api.example.com/', headers: { key: 'hidden-value-1' } }],
      },
    },
  })
  const { api_key: key } = (await share(agent.id)).body
  const seen = await shared(agent.id, key)
  expect(seen).toMatchObject({
    status: 200,
    body: { name: 'guide', type: 'llm', model: 'demo/echo', instruction: null, api_key_id: null, agent_card_url: agent.agent_card_url },
  })
  expect(seen.body.config).toEqual({ sub_agents: [inner.id], mcp_servers: null })
  const text = JSON.stringify(seen.body)
  for (const secret of ['the prompt', 'hidden-value', '__secret__', agent.config.api_key, key]) expect(text).not.toContain(secret)
  expect((await shared(agent.id, agent.config.api_key)).body).toEqual(seen.body)
  expect((await shared(inner.id, key)).body.type).toEndWith('/invalid-api-key')
  expect((await app.stranger('GET', `/api/v1/agents/${agent.id}`, undefined, { 'x-api-key': key })).status).toBe(401)
})

test('a share key does not open the agent for anything but its chat', async () => {
  const agent = await make()
  const { api_key: key } = (await share(agent.id)).body
  expect(await app.services.agents.openWithKey(agent.id, key).catch(({ problem }) => problem)).toBe('invalid-api-key')
  expect(await app.services.agents.openChatWithKey(agent.id, key)).toEqual({ clientId: app.ada.clientId })
})

test('agents of others are not shared', async () => {
  const agent = await make()
  expect((await app.bob.call('POST', `/api/v1/agents/${agent.id}/share`, {}, { 'x-client-id': app.bob.clientId })).status).toBe(404)
  expect((await app.bob.call('POST', `/api/v1/agents/${agent.id}/share`, {}, own())).status).toBe(403)
  expect((await app.bob.call('DELETE', `/api/v1/agents/${agent.id}/share`)).status).toBe(404)
})

test('of two who share at once both have the same key, and none of it is kept in clear', async () => {
  const agent = await make()
  const keys = await Promise.all([share(agent.id), share(agent.id)])
  expect(keys[0]?.body).toEqual(keys[1]?.body)
  const again = { ...own(), 'idempotency-key': crypto.randomUUID() }
  const once = await app.ada.call('POST', `/api/v1/agents/${agent.id}/share`, {}, again)
  expect((await app.ada.call('POST', `/api/v1/agents/${agent.id}/share`, {}, again)).body).toEqual(once.body)
  const { idempotencyKeys } = await import('~/platform/idempotency-table')
  expect(JSON.stringify(await app.services.db.select().from(idempotencyKeys))).not.toContain(once.body.api_key)
})
