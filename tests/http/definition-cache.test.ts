import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { createDefinitionCache, type Definer } from '~/platform/definition-cache'
import { RedisUnavailable } from '~/platform/redis'
import { startFake } from '../support/mcp-servers'
import type { TestApp } from '../support/start-app'
import { startTwoProcesses, type TwoProcesses } from '../support/two-processes'

let both: TwoProcesses
let here: TestApp
let url: string
const fake = startFake([{ name: 'look' }])
beforeAll(async () => {
  both = await startTwoProcesses('definitions', { OUTBOUND_ALLOW: '127.0.0.1' })
  here = both.here
  url = both.url
}, 60_000)
afterAll(async () => {
  await both.close()
  await fake.close()
})

const own = () => ({ 'x-client-id': here.ada.clientId })
const makeAgent = async (): Promise<string> =>
  (await here.ada.call('POST', '/api/v1/agents/', { client_id: here.ada.clientId, name: 'guide', type: 'llm', model: 'demo/echo' })).body.id
const chatThere = async (id: string, session: string) => {
  const response = await fetch(`${url}/api/v1/chat/${id}/${session}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${here.ada.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ message: 'hello' }),
  })
  await response.bytes()
  return response.status
}

test('what one process has changed, the next run on another goes by, 200 times out of 200, and a deleted agent never runs again', async () => {
  const id = await makeAgent()
  for (let round = 0; round < 200; round++) {
    expect((await here.ada.call('PUT', `/api/v1/agents/${id}`, { name: `guide_${round}` })).status).toBe(200)
    expect(await chatThere(id, `user-${round % 10}`)).toBe(200)
  }
  // Who spoke is written down with what was said, under the name that the agent had for the run.
  const rows = await here.services.db.execute<{ author: string }>(
    sql`select author from events where client_id = ${here.ada.clientId} and author <> 'user'`,
  )
  expect(rows.map(({ author }) => author).toSorted()).toEqual(Array.from({ length: 200 }, (_, round) => `guide_${round}`).toSorted())
  expect((await here.ada.call('DELETE', `/api/v1/agents/${id}`)).status).toBe(204)
  expect(await chatThere(id, 'user-0')).toBe(404)
}, 60_000)

test('what was read is kept until the definer changes something, and nothing is kept without Redis', async () => {
  const { redis } = here.services.stores
  const [cache, elsewhere] = [createDefinitionCache({ redis }), createDefinitionCache({ redis })]
  let reads = 0
  const read = (definer: Definer = 'one') => cache.get(definer, 'thing', async () => ({ read: ++reads }))
  expect([await read(), await read(), await read()]).toEqual([{ read: 1 }, { read: 1 }, { read: 1 }])
  await elsewhere.changed(['another', null])
  expect(await read()).toEqual({ read: 1 })
  await elsewhere.changed(['ONE'])
  expect(await read()).toEqual({ read: 2 })
  await redis.run((client) => client.del(redis.key('defined', '{one}')))
  expect(await read()).toEqual({ read: 3 })
  expect(Object.isFrozen(await read())).toBe(true)

  const away = createDefinitionCache({ redis: { ...redis, key: redis.key, run: () => Promise.reject(new RedisUnavailable()) } })
  const anew = () => away.get('one', 'thing', async () => ++reads)
  expect(await anew()).not.toBe(await anew())
  await away.changed(['one'])
})

test('a value is not kept when its reading failed or found nothing, and no more than so many are', async () => {
  const cache = createDefinitionCache({ redis: here.services.stores.redis, size: 2 })
  let reads = 0
  const failing = () => cache.get('two', 'broken', () => Promise.reject(new Error(`broken ${++reads}`)))
  expect(await failing().catch(String)).toBe('Error: broken 1')
  expect(await failing().catch(String)).toBe('Error: broken 2')
  const absent = () => cache.get('two', 'absent', async () => void reads++)
  await absent()
  await absent()
  expect(reads).toBe(4)
  const read = (key: string) => cache.get('two', key, async () => ++reads)
  for (const key of ['a', 'b', 'c']) await read(key)
  expect(await read('c')).toBe(7)
  expect(await read('a')).toBe(8)
})

test('whatever a route changes of what a client or the platform defines moves that mark', async () => {
  const { redis } = here.services.stores
  const { call, clientId } = here.ada
  const markOf = (definer: string) => redis.run((client) => client.get(redis.key('defined', `{${definer}}`)))
  const moves = async (definer: string, change: () => Promise<{ status: number; body: { id?: string } }>) => {
    const before = await markOf(definer)
    const { status, body } = await change()
    expect(status).toBeLessThan(300)
    expect(await markOf(definer)).not.toBe(before)
    return body?.id ?? ''
  }
  const ours = (change: () => ReturnType<typeof call>) => moves(clientId, change)
  const agent = { client_id: clientId, name: 'guide', type: 'llm', model: 'demo/echo' }
  const id = await ours(() => call('POST', '/api/v1/agents/', agent))
  const folderId = await ours(() => call('POST', '/api/v1/agents/folders', { client_id: clientId, name: 'Team' }))
  await ours(() => call('PUT', `/api/v1/agents/${id}/folder?folder_id=${folderId}`, {}, own()))
  await ours(() => call('PUT', `/api/v1/agents/folders/${folderId}`, { name: 'Crew' }, own()))
  await ours(() => call('DELETE', `/api/v1/agents/folders/${folderId}`, undefined, own()))
  const key = { client_id: clientId, name: 'main', provider: 'openai', key_value: 'sk-0123456789abcdef' }
  const keyId = await ours(() => call('POST', '/api/v1/agents/apikeys', key))
  await ours(() => call('PUT', `/api/v1/agents/${id}`, { api_key_id: keyId }))
  await ours(() => call('PUT', `/api/v1/agents/apikeys/${keyId}`, { name: 'other' }, own()))
  await ours(() => call('DELETE', `/api/v1/agents/apikeys/${keyId}`, undefined, own()))
  await ours(() => here.admin.call('PUT', `/api/v1/agents/${id}`, { role: 'guide' }))
  await ours(() => call('DELETE', `/api/v1/agents/${id}`))

  const platform = (change: () => ReturnType<typeof call>) => moves('platform', change)
  const tool = { name: 'search', config_json: {}, environments: {} }
  const toolId = await platform(() => here.admin.call('POST', '/api/v1/tools/', tool))
  await platform(() => here.admin.call('PUT', `/api/v1/tools/${toolId}`, { ...tool, name: 'find' }))
  await platform(() => here.admin.call('DELETE', `/api/v1/tools/${toolId}`))
  const server = {
    name: 'search',
    type: 'official',
    config_type: 'sse',
    config_json: { url: 'https://mcp.example.com/sse' },
    environments: {},
    tools: [{ id: 'find', name: 'find', description: '', tags: [], examples: [], inputModes: [], outputModes: [] }],
  }
  const serverId = await platform(() => here.admin.call('POST', '/api/v1/mcp-servers/', server))
  await platform(() => here.admin.call('PUT', `/api/v1/mcp-servers/${serverId}`, { ...server, name: 'find' }))
  await platform(() => here.admin.call('DELETE', `/api/v1/mcp-servers/${serverId}`))
})

test('a card is remembered by each process until its agent changes on any, and a deleted agent has none', async () => {
  const id = await makeAgent()
  const card = async (at: string) => {
    const response = await fetch(`${at}/api/v1/a2a/${id}/.well-known/agent.json`)
    return [response.status, ((await response.json()) as { name?: string }).name]
  }
  for (let round = 0; round < 50; round++) {
    const name = `guide_${round}`
    expect((await here.ada.call('PUT', `/api/v1/agents/${id}`, { name })).status).toBe(200)
    // The second answer of each is the remembered one.
    for (const at of [url, here.url, url, here.url]) expect(await card(at)).toEqual([200, name])
  }
  expect((await here.ada.call('DELETE', `/api/v1/agents/${id}`)).status).toBe(204)
  for (const at of [url, here.url]) expect((await card(at))[0]).toBe(404)
}, 60_000)

test('what an MCP server offers is asked for once by all processes together, anew for other credentials, and when Redis has forgotten it', async () => {
  const config = (key: string) => ({ custom_mcp_servers: [{ url: fake.url, headers: { 'x-key': key } }] })
  const { call, clientId, token } = here.ada
  const agent = { client_id: clientId, name: 'looks', type: 'llm', model: 'demo/echo', config: config('one') }
  const id = (await call('POST', '/api/v1/agents/', agent)).body.id
  const asked = () => fake.seen.filter(({ message }) => message.method === 'tools/list').map(({ headers }) => headers.get('x-key'))
  let turns = 0
  const turn = async (at: string) => {
    const response = await fetch(`${at}/api/v1/chat/${id}/user-${turns++}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ message: 'hello' }),
    })
    await response.bytes()
    expect(response.status).toBe(200)
  }
  await turn(here.url)
  await turn(url)
  await turn(here.url)
  expect(asked()).toEqual(['one'])
  const { redis } = here.services.stores
  const names = await redis.run((client) => client.keys(redis.key('mcp-tools', '*')))
  expect(names).toHaveLength(1)
  expect(await redis.run((client) => client.get(names[0] ?? ''))).not.toContain('one')

  expect((await call('PUT', `/api/v1/agents/${id}`, { config: config('two') })).status).toBe(200)
  await turn(url)
  await turn(here.url)
  expect(asked()).toEqual(['one', 'two'])

  expect((await call('PUT', `/api/v1/agents/${id}`, { config: config('three') })).status).toBe(200)
  await turn(here.url)
  for (const name of await redis.run((client) => client.keys(redis.key('mcp-tools', '*')))) await redis.run((client) => client.del(name))
  await turn(url)
  expect(asked()).toEqual(['one', 'two', 'three', 'three'])
}, 60_000)
