import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { mcpServers } from '~/features/mcp-servers/table'
import { tools } from '~/features/tools/table'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
const cards = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  fetch({ url }) {
    const { pathname } = new URL(url)
    if (pathname.startsWith('/good/')) return Response.json({ name: 'Weather & Co', description: 'Knows the weather.', skills: [] })
    if (pathname.startsWith('/nameless/')) return Response.json({ description: 'x' })
    if (pathname.startsWith('/list/')) return Response.json([])
    if (pathname.startsWith('/moved/')) return Response.redirect('/good/.well-known/agent.json')
    return new Response('nothing', { status: 404 })
  },
})
beforeAll(async () => {
  app = await startApp({ OUTBOUND_ALLOW: `127.0.0.1:${cards.port}` })
})
afterAll(async () => {
  await app.close()
  await cards.stop(true)
})

let count = 0
const draft = (more: object) => ({ client_id: app.ada.clientId, name: `agent_${++count}`, ...more })
const create = (more: object) => app.ada.call('POST', '/api/v1/agents/', draft(more))
const make = async (more: object = {}) => {
  const { status, body } = await create({ type: 'llm', model: 'demo/echo', ...more })
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`)
  return body
}
const refused = async (more: object) => {
  const { status, body } = await create(more)
  return [status, body.errors?.[0]?.pointer, body.detail]
}
const node = (id: string, agentId: string) => ({
  id,
  type: 'agent-node',
  position: { x: 1, y: 2 },
  data: { label: id, agent: { id: agentId, name: 'x' } },
})
const cardUrl = (kind: string) => `http://127.0.0.1:${cards.port}/${kind}/.well-known/agent.json`

test('every kind of agent is stored, and its config comes back with what we do not know', async () => {
  const [one, two] = [await make(), await make()]
  const graph = {
    nodes: [{ id: 's', type: 'start-node', position: { x: 0, y: 0 }, selected: true }, node('a', one.id)],
    edges: [{ id: 'e', source: 's', target: 'a', animated: true }],
  }
  const configs = {
    sequential: { sub_agents: [one.id, two.id], own: { note: 1 } },
    parallel: { sub_agents: [one.id, two.id] },
    loop: { sub_agents: [one.id], max_iterations: 7, condition: 'until done' },
    task: { tasks: [{ agent_id: one.id, description: 'Do {content}', expected_output: 'It', extra: true }], sub_agents: [two.id] },
    workflow: { workflow: graph, timeout: 60 },
  }
  for (const [type, config] of Object.entries(configs)) {
    const agent = await make({ type, model: '', config })
    expect([type, agent.type, agent.config]).toEqual([type, type, { ...config, api_key: expect.any(String) }])
    const put = await app.ada.call('PUT', `/api/v1/agents/${agent.id}`, { ...agent, description: 'as read' })
    expect([type, put.status, put.body.config]).toEqual([type, 200, agent.config])
  }
})

test('defect 15: load_memory and unknown keys of an llm agent survive reading and saving', async () => {
  const agent = await make({ config: { load_memory: true, mine: [1] } })
  expect(agent.config).toMatchObject({ load_memory: true, mine: [1], tools: null })
  const { body } = await app.ada.call('PUT', `/api/v1/agents/${agent.id}`, agent)
  expect(body.config).toMatchObject({ load_memory: true, mine: [1] })
})

test('defects 1, 5: the config of an llm agent is kept, and its key too when a change leaves it out', async () => {
  const other = await make()
  const agent = await make({ config: { agent_tools: [other.id], sub_agents: [other.id] } })
  expect(agent.config).toMatchObject({ agent_tools: [other.id], sub_agents: [other.id] })
  const { body } = await app.ada.call('PUT', `/api/v1/agents/${agent.id}`, { config: { agent_tools: [other.id] } })
  expect(body.config).toMatchObject({ agent_tools: [other.id], sub_agents: null, api_key: agent.config.api_key })
})

test('what a kind needs is demanded in the words of the reference', async () => {
  expect(await refused({ type: 'sequential' })).toEqual([422, '/config', 'Configuration is required for sequential agent type'])
  expect(await refused({ type: 'loop', config: { sub_agents: [] } })).toEqual([
    422,
    '/config/sub_agents',
    'Agent loop must have at least one sub-agent',
  ])
  expect(await refused({ type: 'task', config: { tasks: null } })).toEqual([422, '/config/tasks', 'Agent task must have at least one task'])
  expect(await refused({ type: 'llm', model: '' })).toEqual([422, '/model', 'Model is required for llm type agents'])
  expect(await refused({ type: 'a2a' })).toEqual([422, '/agent_card_url', 'agent_card_url is required for a2a type agents'])
  expect(await refused({ type: 'llm', model: 'demo/echo', config: { custom_mcp_servers: [{ url: '', headers: {} }] } })).toEqual([
    422,
    '/config/custom_mcp_servers/0/url',
    'config/custom_mcp_servers/0/url: URL is required for custom MCP servers',
  ])
  expect(await refused({ type: 'llm', model: 'demo/echo', config: { custom_mcp_servers: [{ headers: {} }] } })).toEqual([
    422,
    '/config/custom_mcp_servers/0/url',
    'config/custom_mcp_servers/0/url: URL is required for custom MCP servers',
  ])
  expect(await refused({ type: 'loop', config: { sub_agents: [], max_iterations: 1e9 } })).toEqual([
    422,
    '/config/max_iterations',
    'config/max_iterations: Must be a whole number from 1 to 100',
  ])
  expect(await refused({ type: 'task', config: { tasks: [{ description: 'd', expected_output: 'e' }] } })).toEqual([
    422,
    '/config/tasks/0/agent_id',
    'config/tasks/0/agent_id: Is required',
  ])
  expect((await refused({ type: 'workflow', config: { workflow: { nodes: [] } } })).slice(0, 2)).toEqual([422, '/config/workflow/edges'])
})

test('MCP-01, SSRF-01: a tenant names servers by URLs that may be called, never by a command', async () => {
  const servers = async (server: object) =>
    (await create({ type: 'llm', model: 'demo/echo', config: { custom_mcp_servers: [server] } })).body.type
  expect(await servers({ command: 'sh', args: ['-c', 'id'] })).toEndWith('/validation-failed')
  expect(await servers({ url: 'file:///etc/hostname' })).toEndWith('/url-not-allowed')
  expect(await servers({ url: 'http://169.254.169.254/' })).toEndWith('/url-not-allowed')
  expect(await servers({ url: 'https://example.com/mcp', headers: { Host: 'x' } })).toEndWith('/validation-failed')
})

test('COST-01: numbers that would get out of hand are refused', async () => {
  const { id } = await make()
  expect((await refused({ type: 'loop', config: { sub_agents: [id], max_iterations: 1e9 } })).slice(0, 2)).toEqual([
    422,
    '/config/max_iterations',
  ])
  expect((await refused({ type: 'parallel', config: { sub_agents: Array(1000).fill(id) } })).slice(0, 2)).toEqual([
    422,
    '/config/sub_agents',
  ])
  const nodes = Array.from({ length: 501 }, (_, index) => ({ id: String(index), type: 'start-node' }))
  expect((await refused({ type: 'workflow', config: { workflow: { nodes, edges: [] } } })).slice(0, 2)).toEqual([
    422,
    '/config/workflow/nodes',
  ])
  let inner = id
  for (let depth = 2; depth <= 10; depth++) inner = (await make({ type: 'sequential', config: { sub_agents: [inner] } })).id
  expect((await refused({ type: 'sequential', config: { sub_agents: [inner] } }))[2]).toBe('Agents would be nested 11 deep; 10 are allowed')
})

test('ACL-05, defects 25, 27, 28: what another client has, or nobody, is refused wherever a config may name it, and nothing tells the two apart', async () => {
  const foreign = (
    await app.bob.call('POST', '/api/v1/agents/', { client_id: app.bob.clientId, name: 'bob', type: 'llm', model: 'demo/echo' })
  ).body
  const places = (id: string) => ({
    '/config/sub_agents/0': { type: 'sequential', config: { sub_agents: [id] } },
    '/config/agent_tools/0': { type: 'llm', model: 'demo/echo', config: { agent_tools: [id] } },
    '/config/tasks/0/agent_id': { type: 'task', config: { tasks: [{ agent_id: id, description: 'd', expected_output: 'e' }] } },
    '/config/workflow/nodes/0/data/agent/id': { type: 'workflow', config: { workflow: { nodes: [node('a', id)], edges: [] } } },
    '/config/mcp_servers/0/id': { type: 'llm', model: 'demo/echo', config: { mcp_servers: [{ id, envs: {} }] } },
    '/config/tools/0/id': { type: 'llm', model: 'demo/echo', config: { tools: [{ id, envs: {} }] } },
    '/folder_id': { type: 'llm', model: 'demo/echo', folder_id: id },
    '/api_key_id': { type: 'llm', model: 'demo/echo', api_key_id: id },
  })
  const unknown = places(crypto.randomUUID())
  for (const [pointer, agent] of Object.entries(places(foreign.id))) {
    const answer = await refused(agent)
    expect(answer.slice(0, 2)).toEqual([422, pointer])
    expect(answer).toEqual(await refused(unknown[pointer as keyof typeof unknown]))
  }
})

test('values for a server or tool of the catalogue are demanded by name', async () => {
  const environments = { TOKEN: 'env@@TOKEN' }
  const [server] = await app.services.db.insert(mcpServers).values({ name: 'Search', environments }).returning()
  const [tool] = await app.services.db.insert(tools).values({ name: 'Call', environments }).returning()
  const of = (key: string, entry: object) => ({ type: 'llm', model: 'demo/echo', config: { [key]: [entry] } })
  expect(await refused(of('mcp_servers', { id: server?.id, envs: {} }))).toEqual([
    422,
    '/config/mcp_servers/0/envs',
    "Environment variable 'TOKEN' not provided for MCP server Search",
  ])
  expect((await refused(of('tools', { id: tool?.id })))[1]).toBe('/config/tools/0/envs')
  expect((await create(of('mcp_servers', { id: server?.id, envs: { TOKEN: 'x' }, tools: [] }))).status).toBe(201)
})

test('defect 64: agents that would call each other in a circle are refused, and the circle is shown', async () => {
  const inner = await make({ name: 'inner' })
  const middle = await make({
    name: 'middle',
    type: 'task',
    config: { tasks: [{ agent_id: inner.id, description: 'd', expected_output: 'e' }] },
  })
  const outer = await make({ name: 'outer', type: 'workflow', config: { workflow: { nodes: [node('a', middle.id)], edges: [] } } })
  const close = (agent: { id: string }, target: string) =>
    app.ada.call('PUT', `/api/v1/agents/${agent.id}`, { config: { agent_tools: [target] } })
  expect(await close(inner, outer.id)).toMatchObject({
    status: 422,
    body: {
      detail: 'Agents would call each other in a circle: inner → outer → middle → inner',
      errors: [{ pointer: '/config/agent_tools/0', code: 'cycle' }],
    },
  })
  expect((await close(inner, inner.id)).body.detail).toBe('Agents would call each other in a circle: inner → inner')
})

test('two changes at once cannot close a circle between them', async () => {
  const [one, two] = [await make(), await make()]
  const link = (from: { id: string }, to: { id: string }) =>
    app.ada.call('PUT', `/api/v1/agents/${from.id}`, { config: { sub_agents: [to.id] } })
  const statuses = (await Promise.all([link(one, two), link(two, one)])).map(({ status }) => status)
  expect(statuses.toSorted()).toEqual([200, 422])
})

test('a remote agent takes description and, without a name of its own, its name from the card, which is kept', async () => {
  const named = await make({ type: 'a2a', agent_card_url: cardUrl('good'), description: 'mine' })
  expect(named).toMatchObject({
    agent_card_url: cardUrl('good'),
    description: 'Knows the weather.',
    config: { agent_card: { skills: [] } },
  })
  const unnamed = await make({ type: 'a2a', name: '', agent_card_url: cardUrl('good') })
  expect(unnamed.name).toBe('Weather___Co')
  const put = await app.ada.call('PUT', `/api/v1/agents/${named.id}`, { config: { timeout: 5 } })
  expect(put.body.config).toMatchObject({ timeout: 5, agent_card: { name: 'Weather & Co' } })
})

test('defect 51: a card that cannot be used says so in one way, and a forbidden address is not asked', async () => {
  const card = async (url: string) => {
    const { status, body } = await create({ type: 'a2a', agent_card_url: url })
    return `${status} ${body.detail}`
  }
  expect(await card(cardUrl('gone'))).toBe('400 Failed to process agent card: it cannot be fetched')
  expect(await card(cardUrl('nameless'))).toBe('400 Failed to process agent card: it has no name')
  expect(await card(cardUrl('list'))).toBe('400 Failed to process agent card: it is not a JSON object')
  expect(await card(cardUrl('moved'))).toStartWith('422 ')
  expect(await card('http://127.0.0.1:1/.well-known/agent.json')).toStartWith('422 ')
  expect(await card('https://example.com/agent.json')).toBe('422 agent_card_url must end with /.well-known/agent.json')
})

test('defect 70: a bad change is refused like a bad creation, and leaves the agent as it was', async () => {
  const agent = await make()
  for (const change of [{ model: '' }, { name: 'two words' }, { folder_id: 'x' }, { type: 'sequential' }, { config: { sub_agents: 'x' } }])
    expect((await app.ada.call('PUT', `/api/v1/agents/${agent.id}`, change)).status).toBe(422)
  expect((await app.ada.call('GET', `/api/v1/agents/${agent.id}`)).body).toEqual(agent)
})

test('an imported row that breaks the rules spoils no list (defect 8)', async () => {
  const agent = await make()
  await app.services.db.execute(sql`update agents set model = null, config = '{"sub_agents": "x"}' where id = ${agent.id}`)
  const list = await app.ada.call('GET', '/api/v1/agents/?limit=1000', undefined, { 'x-client-id': app.ada.clientId })
  expect([list.status, list.body.find(({ id }: { id: string }) => id === agent.id)?.model]).toEqual([200, ''])
  expect((await app.ada.call('GET', `/api/v1/agents/${agent.id}`)).status).toBe(200)
})
