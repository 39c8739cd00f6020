import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { mcpServers } from '~/features/mcp-servers/table'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
const calls: { path: string; headers: Record<string, string> }[] = []
const target = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  fetch(request) {
    calls.push({ path: new URL(request.url).pathname, headers: Object.fromEntries(request.headers) })
    return Response.json({ ok: true })
  },
})
beforeAll(async () => {
  app = await startApp({ OUTBOUND_ALLOW: `127.0.0.1:${target.port}` })
})
afterAll(async () => {
  await app.close()
  await target.stop(true)
})

const address = (path: string) => `http://127.0.0.1:${target.port}/${path}`
const httpTool = (name: string, secret: string, more: object = {}) => ({
  name,
  method: 'POST',
  endpoint: address(name),
  headers: { authorization: secret },
  values: { region: `${secret}-region`, limit: 3 },
  ...more,
})
const create = (config: object, more: object = {}) =>
  app.ada.call('POST', '/api/v1/agents/', { client_id: app.ada.clientId, name: 'keeper', type: 'llm', model: 'demo/echo', config, ...more })
const make = async (config: object, more: object = {}) => {
  const { status, body } = await create(config, more)
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`)
  return body
}
const put = (id: string, change: object) => app.ada.call('PUT', `/api/v1/agents/${id}`, change)
const opened = async (id: string) => (await app.services.agents.load({ clientId: app.ada.clientId, agentId: null }, id)).config
const stored = async (id: string) => {
  const [row] = await app.services.db.execute<{ config: string }>(sql`select config::text as config from agents where id = ${id}`)
  return row?.config ?? ''
}

const SECRET = 'a-very-long-secret-0001'

test('ACL-10: secrets of a config are sealed in the table, masked in every answer, and open for a run', async () => {
  const [server] = await app.services.db
    .insert(mcpServers)
    .values({ name: 'S', environments: { TOKEN: 'env@@TOKEN' } })
    .returning()
  const agent = await make({
    mcp_servers: [{ id: server?.id, envs: { TOKEN: SECRET }, tools: ['t'] }],
    custom_mcp_servers: [{ url: address('mcp'), headers: { 'x-token': SECRET } }],
    custom_tools: { http_tools: [httpTool('one', SECRET)] },
  })
  expect(agent.config).toMatchObject({
    mcp_servers: [{ envs: { TOKEN: '__secret__:0001' }, tools: ['t'] }],
    custom_mcp_servers: [{ headers: { 'x-token': '__secret__:0001' } }],
    custom_tools: { http_tools: [{ headers: { authorization: '__secret__:0001' }, values: { region: '__secret__:gion', limit: 3 } }] },
  })
  const answers = [
    await app.ada.call('GET', `/api/v1/agents/${agent.id}`),
    await app.ada.call('GET', '/api/v1/agents/?limit=1000', undefined, { 'x-client-id': app.ada.clientId }),
    await put(agent.id, { description: 'd' }),
  ]
  for (const { status, body } of answers) expect([status, JSON.stringify(body).includes(SECRET)]).toEqual([200, false])
  expect(await stored(agent.id)).not.toContain(SECRET)
  expect(await opened(agent.id)).toMatchObject({
    mcp_servers: [{ envs: { TOKEN: SECRET } }],
    custom_tools: { http_tools: [{ headers: { authorization: SECRET }, values: { region: `${SECRET}-region`, limit: 3 } }] },
  })
})

test('a mask that comes back keeps the secret, also in another order; a new value replaces it, an empty one removes it', async () => {
  const agent = await make({ custom_tools: { http_tools: [httpTool('one', 'first-secret-aaaa'), httpTool('two', 'second-secret-bbbb')] } })
  const [one, two] = agent.config.custom_tools.http_tools
  const tools = { http_tools: [two, { ...one, description: 'changed', headers: { ...one.headers, 'x-new': 'third-secret-cccc' } }] }
  const changed = await put(agent.id, { ...agent, config: { ...agent.config, custom_tools: tools } })
  expect(changed.body.config.custom_tools.http_tools[1].headers).toEqual({ authorization: '__secret__:aaaa', 'x-new': '__secret__:cccc' })
  expect((await opened(agent.id)).custom_tools).toMatchObject({
    http_tools: [
      { headers: { authorization: 'second-secret-bbbb' } },
      { headers: { authorization: 'first-secret-aaaa', 'x-new': 'third-secret-cccc' } },
    ],
  })
  const cleared = { ...changed.body.config, custom_tools: { http_tools: [{ ...two, headers: { authorization: '' } }] } }
  expect((await put(agent.id, { config: cleared })).body.config.custom_tools.http_tools[0].headers).toEqual({ authorization: '' })
})

test('a kept secret goes to the host that it was given for, and to no other', async () => {
  const agent = await make({
    custom_mcp_servers: [{ url: address('mcp'), headers: { key: SECRET } }],
    custom_tools: { http_tools: [httpTool('one', SECRET)] },
  })
  const { config } = agent
  const moved = { ...config, custom_mcp_servers: [{ ...config.custom_mcp_servers[0], url: 'https://elsewhere.example.com/mcp' }] }
  expect(await put(agent.id, { config: moved })).toMatchObject({
    status: 422,
    body: { errors: [{ pointer: '/config/custom_mcp_servers/0/headers/key' }] },
  })
  const tool = { ...config.custom_tools.http_tools[0], endpoint: 'https://elsewhere.example.com/one' }
  expect((await put(agent.id, { config: { ...config, custom_tools: { http_tools: [tool] } } })).status).toBe(422)
  const renamed = { ...config.custom_tools.http_tools[0], name: 'uno', endpoint: address('other') }
  expect((await put(agent.id, { config: { ...config, custom_tools: { http_tools: [renamed] } } })).status).toBe(200)
  expect((await create({ custom_mcp_servers: config.custom_mcp_servers })).status).toBe(422)
})

test('a secret sealed for one agent does not open in another one', async () => {
  const [one, two] = [await make({ custom_tools: { http_tools: [httpTool('one', SECRET)] } }), await make({})]
  await app.services.db.execute(sql`update agents set config = (select config from agents where id = ${one.id}) where id = ${two.id}`)
  expect(await opened(two.id).catch(({ problem }) => problem)).toBe('secret-unavailable')
  expect((await app.ada.call('GET', `/api/v1/agents/${two.id}`)).status).toBe(200)
})

test('rows that came over with secrets in clear are masked, run, and sealed when they are saved', async () => {
  const agent = await make({})
  const config = { custom_tools: { http_tools: [httpTool('one', SECRET)] } }
  await app.services.db.execute(sql`update agents set config = ${JSON.stringify(config)}::jsonb where id = ${agent.id}`)
  const read = (await app.ada.call('GET', `/api/v1/agents/${agent.id}`)).body
  expect(JSON.stringify(read)).not.toContain(SECRET)
  expect(await opened(agent.id)).toMatchObject(config)
  expect((await put(agent.id, read)).status).toBe(200)
  expect(await stored(agent.id)).not.toContain(SECRET)
  expect(await opened(agent.id)).toMatchObject(config)
})

test('the copy of an agent in a workflow keeps no key and no secret, and comes back as it was read', async () => {
  const inner = await make({ custom_tools: { http_tools: [httpTool('one', SECRET)] } })
  const nodes = [
    {
      id: 'a',
      type: 'agent-node',
      position: { x: 0, y: 0 },
      data: { label: 'a', agent: { ...inner, config: { ...inner.config, envs: { A: SECRET } } } },
    },
  ]
  const flow = await make({ workflow: { nodes, edges: [] } }, { type: 'workflow' })
  expect(await stored(flow.id)).not.toContain(inner.config.api_key)
  expect(await stored(flow.id)).not.toContain(SECRET)
  expect((await put(flow.id, flow)).body.config).toEqual(flow.config)
})

test('defect 20: a tool of the catalogue works, with the secrets that each agent has given it', async () => {
  const tool = await app.admin.call('POST', '/api/v1/tools/', {
    name: 'lookup',
    config_json: {
      method: 'POST',
      endpoint: address('lookup'),
      headers: { authorization: 'Bearer env@@TOKEN' },
      parameters: { body_params: { q: { type: 'string' } } },
    },
    environments: { TOKEN: 'env@@TOKEN' },
  })
  const chosen = (token: string) => ({ tools: [{ id: tool.body.id, envs: { TOKEN: token } }] })
  for (const token of ['token-of-the-first-agent', 'token-of-the-second-agent']) {
    const agent = await make(chosen(token))
    expect(agent.config.tools[0].envs.TOKEN).toStartWith('__secret__:')
    const chat = await app.ada.call('POST', `/api/v1/chat/${agent.id}/user`, { message: '/tool lookup {"q":"x"}' })
    expect(chat.status).toBe(200)
    expect(calls.at(-1)).toMatchObject({ path: '/lookup', headers: { authorization: `Bearer ${token}` } })
  }
  const without = await make(chosen('t'))
  await app.admin.call('DELETE', `/api/v1/tools/${tool.body.id}`)
  expect((await app.ada.call('POST', `/api/v1/chat/${without.id}/user`, { message: 'hi' })).status).toBe(200)
})

test('credentials within addresses are for who may change the agent: not for viewers, and not for a file', async () => {
  const viewer = await app.join('address-reader@example.com', app.ada.clientId, 'viewer')
  const mcp = `${address('mcp')}?region=eu&exampleApiKey=${SECRET}`
  const tool = { ...httpTool('two', SECRET), endpoint: `${address('two')}?q={query}&access_token=${SECRET}&token={token}` }
  const { id, config } = await make({ custom_mcp_servers: [{ url: mcp, headers: {} }], custom_tools: { http_tools: [tool] } })
  expect(config.custom_mcp_servers[0].url).toBe(mcp)
  expect((await put(id, { config })).body.config.custom_tools.http_tools[0].endpoint).toBe(tool.endpoint)
  const seen = await viewer.call('GET', `/api/v1/agents/${id}`)
  expect(seen.body.config.custom_mcp_servers[0].url).toBe(`${address('mcp')}?region=eu&exampleApiKey=__secret__:`)
  expect(seen.body.config.custom_tools.http_tools[0].endpoint).toBe(`${address('two')}?q={query}&access_token=__secret__:&token={token}`)
  const own = { 'x-client-id': app.ada.clientId }
  const paths = ['', '/versions/1', '/versions/1/diff', '/export'].map((path) => `/api/v1/agents/${id}${path}`)
  for (const path of [...paths, '/api/v1/agents/', '/api/v1/agents/export']) {
    const { status, body } = await viewer.call('GET', path, undefined, own)
    expect({ path, status, holds: JSON.stringify(body).includes(SECRET) }).toEqual({ path, status: 200, holds: false })
  }
  expect(JSON.stringify((await app.ada.call('GET', `/api/v1/agents/${id}/export`)).body)).not.toContain(SECRET)
})
