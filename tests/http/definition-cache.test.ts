import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDefinitionCache, type Definer } from '~/platform/definition-cache'
import { RedisUnavailable } from '~/platform/redis'
import { type RunningServer, startServer, until } from '../start/running-server'
import { startApp, type TestApp } from '../support/start-app'

/** Two API processes that share nothing but the stores: the app of this process, and a server of its own. */
let here: TestApp
let there: RunningServer
let url: string
const READY = /"message":"ready".*"url":"([^"]+)"/
const folder = mkdtempSync(join(tmpdir(), 'evo-definitions-'))
beforeAll(async () => {
  const rates = { RATE_REQUESTS_PER_MINUTE: '1000000', RATE_WRITES_PER_MINUTE: '1000000', REDIS_KEY_PREFIX: 'definitions:' }
  here = await startApp(rates)
  const { access, database, redis } = here.config
  there = startServer({
    ...rates,
    EVO_ROLE: 'api',
    EVO_DATA_DIR: folder,
    DATABASE_URL: database.url ?? '',
    REDIS_URL: redis.url ?? '',
    JWT_SECRET_KEY: access.jwtSecret ?? '',
    ENCRYPTION_KEY: access.encryptionKeys ?? '',
    JWT_ISSUER: access.issuer,
    BCRYPT_COST: '4',
  })
  await until(() => READY.test(there.out()), 50_000)
  url = READY.exec(there.out())?.[1] ?? ''
}, 60_000)
afterAll(async () => {
  there.kill('SIGTERM')
  await there.exited()
  await here.close()
  rmSync(folder, { recursive: true, force: true })
})

const own = () => ({ 'x-client-id': here.ada.clientId })
const makeAgent = async (): Promise<string> =>
  (await here.ada.call('POST', '/api/v1/agents/', { client_id: here.ada.clientId, name: 'guide', type: 'llm', model: 'demo/echo' })).body.id
const readThere = async (id: string) => {
  const response = await fetch(`${url}/api/v1/agents/${id}`, { headers: { authorization: `Bearer ${here.ada.token}` } })
  const agent = (await response.json()) as { instruction: string }
  return { status: response.status, instruction: agent.instruction }
}

test('what one process has changed, another shows at once, 200 times out of 200, and a deleted agent never again', async () => {
  const id = await makeAgent()
  let fresh = 0
  for (let round = 0; round < 200; round++) {
    const instruction = `Say ${round}`
    expect((await here.ada.call('PUT', `/api/v1/agents/${id}`, { instruction })).status).toBe(200)
    if ((await readThere(id)).instruction === instruction) fresh++
    // By now it remembers what it has read, until the next change.
    expect((await readThere(id)).instruction).toBe(instruction)
  }
  expect(fresh).toBe(200)
  expect((await here.ada.call('DELETE', `/api/v1/agents/${id}`)).status).toBe(204)
  expect((await readThere(id)).status).toBe(404)
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
