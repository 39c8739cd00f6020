import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app.close())

const validate = (body: object, by = app.ada) => by.call('POST', '/api/v1/agents/validate', body)
const draft = (more: object = {}) => ({
  client_id: app.ada.clientId,
  name: 'guide',
  type: 'llm',
  model: 'demo/echo',
  instruction: 'Be kind.',
  config: {},
  ...more,
})
const make = async (more: object = {}): Promise<string> => (await app.ada.call('POST', '/api/v1/agents/', draft(more))).body.id
interface Found {
  path: string
  code: string
  message: string
}
const told = (found: Found[]) => found.map(({ path, code }) => `${path} ${code}`)
const problemsOf = async (more: object) => told((await validate(draft(more))).body.problems)
const warningsOf = async (more: object) => {
  const { body } = await validate(draft(more))
  expect(body.problems).toEqual([])
  return told(body.warnings)
}
const kept = async () =>
  (
    await app.services.db.execute<{ n: number }>(
      sql`select (select count(*) from agents) + (select count(*) from outbox) + (select count(*) from agent_versions) as n`,
    )
  )[0]?.n

test('a definition without fault is valid, and nothing of it is stored or audited', async () => {
  const before = await kept()
  expect(await validate(draft())).toMatchObject({ status: 200, body: { valid: true, problems: [], warnings: [] } })
  expect(await kept()).toBe(before)
})

test('all problems are told at once, each where it is', async () => {
  const absent = crypto.randomUUID()
  expect(
    await problemsOf({
      is_admin: true,
      name: 'two words',
      model: 'nobody/knows',
      folder_id: absent,
      api_key_id: absent,
      config: {
        sub_agents: [absent],
        mcp_servers: [{ id: absent }],
        tools: [{ id: absent }],
        custom_mcp_servers: [
          { url: 'http://127.0.0.1/mcp' },
          { url: 'https://mcp.example/', headers: { host: 'elsewhere', 'x-key': '__secret__:abcd' } },
        ],
        custom_tools: { http_tools: [{ name: 'x', method: 'GET', endpoint: 'ftp://files.example/' }] },
      },
    }),
  ).toEqual([
    '/is_admin unknown-property',
    '/name format',
    '/model choice',
    '/config/custom_tools/http_tools/0/endpoint url-not-allowed',
    '/config/custom_mcp_servers/0/url url-not-allowed',
    '/config/custom_mcp_servers/1/headers/host reserved',
    '/config/sub_agents/0 not-found',
    '/config/mcp_servers/0/id not-found',
    '/config/tools/0/id not-found',
    '/config/custom_mcp_servers/1/headers/x-key required',
    '/folder_id not-found',
    '/api_key_id not-found',
  ])
  expect(await problemsOf({ config: { sub_agents: 'x', mcp_servers: [{ id: 'y' }], agent_tools: 3 } })).toEqual([
    '/config/sub_agents invalid',
    '/config/agent_tools invalid',
    '/config/mcp_servers/0/id invalid',
  ])
  expect(await problemsOf({ type: 'crew_ai', name: 'two words' })).toEqual(['/type invalid'])
  expect(await problemsOf({ name: 'user' })).toEqual(['/name reserved'])
  expect(await problemsOf({ type: 'sequential', config: { sub_agents: [] } })).toEqual(['/config/sub_agents required'])
  expect(await problemsOf({ config: 'text' })).toEqual(['/config invalid'])
  expect(await problemsOf({ config: { output_schema: { type: 'nothing' } } })).toEqual(['/config/output_schema invalid'])
})

test('what it refuses is what creation refuses', async () => {
  for (const more of [
    { name: '' },
    { model: null },
    { config: { agent_tools: ['x'] } },
    { config: { api_key: 5 } },
    { type: 'task', config: { tasks: [] } },
    { type: 'a2a', agent_card_url: 'https://agents.example/card' },
    { type: 'a2a', agent_card_url: 'http://127.0.0.1/.well-known/agent.json' },
    { type: 'workflow', config: { workflow: { nodes: 5, edges: [] } } },
  ]) {
    const { status, body } = await app.ada.call('POST', '/api/v1/agents/', draft(more))
    const dry = (await validate(draft(more))).body
    expect([status >= 400, dry.valid]).toEqual([true, false])
    if (body.errors) expect(dry.problems[0]).toMatchObject({ path: body.errors[0].pointer, message: body.errors[0].message })
  }
})

test('a change is judged as PUT would merge it: a circle is shown, stored secrets stay', async () => {
  const inner = await make({ name: 'inner' })
  const outer = await make({ name: 'outer', config: { sub_agents: [inner] } })
  const { body } = await validate({ id: inner, config: { agent_tools: [outer] } })
  expect(body).toMatchObject({
    valid: false,
    problems: [
      { path: '/config/agent_tools/0', code: 'cycle', message: 'Agents would call each other in a circle: inner → outer → inner' },
    ],
  })
  expect((await validate({ id: inner, config: { agent_tools: [inner] } })).body.problems).toMatchObject([{ code: 'cycle' }])
  expect((await validate({ id: inner, name: 'other' })).body).toMatchObject({ valid: true })

  const server = { url: 'https://mcp.example/', headers: { 'x-key': 'abcdefghijklmnop' } }
  const id = await make({ name: 'secretive', config: { custom_mcp_servers: [server] } })
  const shown = (await app.ada.call('GET', `/api/v1/agents/${id}`)).body
  expect((await validate(shown)).body).toMatchObject({ valid: true, problems: [] })
  const moved = { ...shown.config, custom_mcp_servers: [{ ...shown.config.custom_mcp_servers[0], url: 'https://elsewhere.example/' }] }
  expect(told((await validate({ ...shown, config: moved })).body.problems)).toEqual(['/config/custom_mcp_servers/0/headers/x-key required'])
  expect((await app.ada.call('GET', `/api/v1/agents/${id}`)).body).toEqual(shown)

  const { api_key } = shown.config
  expect(await problemsOf({ config: { api_key } })).toEqual(['/config/api_key taken'])
})

test('only who may define agents here may try definitions here', async () => {
  const id = await make({ name: 'mine' })
  const viewer = await app.join('looker@example.com', app.ada.clientId, 'viewer')
  expect((await validate(draft(), viewer)).status).toBe(403)
  expect((await validate(draft(), app.bob)).status).toBe(403)
  expect((await validate({ id }, app.bob)).status).toBe(404)
  expect((await validate({ id, client_id: app.bob.clientId })).status).toBe(403)
  expect((await validate({ name: 'nobody' })).body.errors).toMatchObject([{ pointer: '/client_id' }])
  const foreign = (await app.bob.call('POST', '/api/v1/agents/', { ...draft(), client_id: app.bob.clientId })).body.id
  const naming = async (other: string) => (await validate(draft({ config: { sub_agents: [other] } }))).body
  expect(await naming(foreign)).toEqual(await naming(crypto.randomUUID()))
})

test('warnings: keys that nothing reads, and texts that do not say what they seem to', async () => {
  expect(await warningsOf({ config: { tool: [], temperature: 1, load_memory: true, tasks: null, 'a/b': 1 } })).toEqual([
    '/config/tool unread-key',
    '/config/a~1b unread-key',
  ])
  expect(await warningsOf({ instruction: '' })).toEqual(['/instruction no-instruction'])
  expect(await warningsOf({ instruction: 'It is {current_time}, {user_name}. Answer {"a": 1}.' })).toEqual([
    '/instruction unknown-variable',
  ])
  expect(await warningsOf({ type: 'workflow', config: {} })).toEqual(['/config/workflow/nodes empty'])
  const nodes = [{ id: 'start', type: 'start-node' }]
  expect(await warningsOf({ type: 'workflow', config: { workflow: { nodes, edges: [] } } })).toEqual(['/config/workflow/nodes empty'])
  const tool = { name: 'find', method: 'GET', endpoint: 'https://example.invalid/?api_key=abcd1234' }
  const config = { custom_tools: { http_tools: [tool, { ...tool, headers: { authorization: 'Bearer eyJhbGciOiJIUzI1NiJ9.e30.x' } }] } }
  expect(await warningsOf({ instruction: 'Use sk-proj-0123456789abcdef.', config })).toEqual([
    '/config/custom_tools/http_tools/1/name shared-name',
    '/instruction secret-in-clear',
    '/config/custom_tools/http_tools/0/endpoint secret-in-clear',
    '/config/custom_tools/http_tools/1/endpoint secret-in-clear',
    '/config/custom_tools/http_tools/0/endpoint unreachable',
    '/config/custom_tools/http_tools/1/endpoint unreachable',
  ])
})

test('warnings: a model that nobody pays for or knows the price of', async () => {
  expect(await warningsOf({ model: 'groq/llama-3.1-8b-instant' })).toEqual(['/api_key_id no-provider-key'])
  const { call, clientId } = app.ada
  const key = { client_id: clientId, name: 'main', provider: 'groq', key_value: 'gsk_0123456789abcdef' }
  const api_key_id = (await call('POST', '/api/v1/agents/apikeys', key)).body.id
  expect(await warningsOf({ model: 'groq/llama-3.1-8b-instant', api_key_id })).toEqual([])
  expect(await warningsOf({ model: 'groq/something-new', api_key_id })).toEqual(['/model no-price'])
  expect(await warningsOf({ model: 'openai/gpt-4o', api_key_id })).toEqual(['/api_key_id key-of-another-provider'])
  await call('DELETE', `/api/v1/agents/apikeys/${api_key_id}`, undefined, { 'x-client-id': clientId })
  expect(await warningsOf({ model: 'groq/llama-3.1-8b-instant', api_key_id })).toEqual(['/api_key_id key-inactive'])
})

test('warnings: servers and tools that no run can use', async () => {
  // Inserted as an operator's earlier rules let pass.
  const [server, remote, tool] = await Promise.all([
    insert(sql`insert into mcp_servers (name, config_json) values ('local', '{"command": "npx", "args": ["-y", "x@1.2.3"]}') returning id`),
    insert(sql`insert into mcp_servers (name, config_json) values ('near', '{"url": "http://10.0.0.1/mcp"}') returning id`),
    insert(sql`insert into tools (name) values ('idea') returning id`),
  ])
  expect(
    await warningsOf({
      config: {
        mcp_servers: [{ id: server }, { id: remote, tools: [] }],
        tools: [{ id: tool }],
        custom_mcp_servers: [{ url: 'https://mcp.invalid/' }],
      },
    }),
  ).toEqual([
    '/config/mcp_servers/1/tools empty',
    '/config/mcp_servers/0/id server-unreachable',
    '/config/mcp_servers/1/id server-unreachable',
    '/config/tools/0/id tool-unusable',
    '/config/custom_mcp_servers/0/url unreachable',
  ])
})

const insert = async (statement: ReturnType<typeof sql>) => (await app.services.db.execute<{ id: string }>(statement))[0]?.id
