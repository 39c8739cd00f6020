import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app.close())

type Json = Record<string, unknown>
const make = async (more: object = {}) => {
  const { status, body } = await app.ada.call('POST', '/api/v1/agents/', {
    client_id: app.ada.clientId,
    name: 'a',
    type: 'llm',
    model: 'demo/echo',
    ...more,
  })
  if (status !== 201) throw new Error(JSON.stringify(body))
  return body
}
/** As a browser sends it. */
async function upload(
  person: { token: string; clientId: string },
  file: unknown,
  more: { name?: string; folder?: string; headers?: Record<string, string> } = {},
) {
  const form = new FormData()
  form.append(
    'file',
    new File([typeof file === 'string' ? file : JSON.stringify(file)], more.name ?? 'agents.json', { type: 'application/json' }),
  )
  if (more.folder !== undefined) form.append('folder_id', more.folder)
  const headers = { authorization: `Bearer ${person.token}`, 'x-client-id': person.clientId, ...more.headers }
  const response = await fetch(`${app.url}/api/v1/agents/import`, { method: 'POST', body: form, headers })
  // biome-ignore lint/suspicious/noExplicitAny: an answer of any shape
  return { status: response.status, body: (await response.json()) as any }
}
const exportOf = async (person: typeof app.ada) =>
  (await person.call('GET', '/api/v1/agents/export', undefined, { 'x-client-id': person.clientId })).body
const node = (agent: Json) => ({ id: 'n', type: 'agent-node', position: { x: 1, y: 2 }, data: { label: 'n', agent } })

test('defect 78: export, import in another client, export: equal but for ids, and without any secret', async () => {
  const inner = await make({
    name: 'inner',
    config: {
      custom_tools: {
        http_tools: [{ name: 'one', method: 'GET', endpoint: 'https://api.example.com/', headers: { key: 'a-secret-value-1' } }],
      },
    },
  })
  const chain = await make({ name: 'chain', type: 'sequential', config: { sub_agents: [inner.id], own: { note: true } } })
  const tasks = [{ agent_id: inner.id, description: 'd', expected_output: 'e' }]
  await make({ name: 'worker', type: 'task', config: { tasks } })
  await make({
    name: 'flow',
    type: 'workflow',
    config: { workflow: { nodes: [node(chain)], edges: [{ id: 'e', source: 'n', target: 'n2' }] } },
  })
  const first = await exportOf(app.ada)
  expect(first.agents).toHaveLength(4)
  for (const secret of ['a-secret-value', '__secret__', inner.config.api_key, app.ada.clientId])
    expect(JSON.stringify(first)).not.toContain(secret)
  const imported = await upload(app.bob, first)
  expect([imported.status, imported.body.length]).toEqual([201, 4])
  const second = await exportOf(app.bob)
  // Each id by the order in which it is met.
  const anonymous = (file: unknown) => {
    const ids = new Map<string, number>()
    return JSON.stringify(file).replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, (id) => `id${ids.get(id) ?? ids.set(id, ids.size).get(id)}`)
  }
  const parts = ({ agents }: { agents: Json[] }) =>
    agents.map(({ config, ...agent }) => ({ ...agent, config: Object.fromEntries(Object.entries(config as Json).toSorted()) }))
  expect(anonymous(parts(second)).replaceAll(/"client_id":"id\d+"|"agent_card_url":"[^"]*"/g, '')).toBe(
    anonymous(parts(first)).replaceAll(/"client_id":"id\d+"|"agent_card_url":"[^"]*"/g, ''),
  )
})

test("defect 10: the web frontend's own file is read: agents embedded in others, in any order, wherever they stand", async () => {
  const embedded = (id: string, name: string, more: object = {}) => ({ id, name, type: 'llm', model: 'demo/echo', config: {}, ...more })
  const file = {
    agents: [
      { id: 'team', name: 'team', type: 'sequential', model: '', config: { sub_agents: [embedded('x', 'x'), 'late'] } },
      {
        id: 'todo',
        name: 'todo',
        type: 'task',
        model: '',
        config: { tasks: [{ agent_id: 'y', agent: embedded('y', 'y'), description: 'd', expected_output: 'e' }] },
      },
      { id: 'flow', name: 'flow', type: 'workflow', model: '', config: { workflow: { nodes: [node(embedded('x', 'x'))], edges: [] } } },
      embedded('late', 'late', { config: { agent_tools: [embedded('y', 'y')] } }),
      {
        id: 'remote',
        name: 'remote',
        type: 'a2a',
        config: { agent_card: { name: 'Remote', url: 'https://agents.example.com/api/v1/a2a/1' } },
      },
    ],
  }
  const { status, body } = await upload(app.ada, file)
  expect(status).toBe(201)
  const byName = Object.fromEntries(body.map((agent: Json) => [agent.name, agent]))
  expect(Object.keys(byName).toSorted()).toEqual(['flow', 'late', 'remote', 'team', 'todo', 'x', 'y'])
  expect(byName.team.config.sub_agents).toEqual([byName.x.id, byName.late.id])
  expect(byName.todo.config.tasks[0].agent_id).toBe(byName.y.id)
  expect(byName.flow.config.workflow.nodes[0]).toMatchObject({ position: { x: 1, y: 2 }, data: { agent: { id: byName.x.id } } })
  expect(byName.late.config.agent_tools).toEqual([byName.y.id])
  expect(byName.remote.agent_card_url).toBe('https://agents.example.com/api/v1/a2a/1/.well-known/agent.json')
})

test('a copy of an agent that the client has stays that agent; masks of secrets are left behind', async () => {
  const known = await make({ name: 'known' })
  const copy = { id: known.id, name: 'known', type: 'llm', model: 'demo/echo', config: {} }
  const tool = { name: 't', method: 'GET', endpoint: 'https://api.example.com/', headers: { key: '__secret__:abcd' } }
  const { body } = await upload(app.ada, {
    name: 'parent',
    type: 'llm',
    model: 'demo/echo',
    config: { sub_agents: [copy], custom_tools: { http_tools: [tool] } },
  })
  expect(body).toHaveLength(1)
  expect(body[0].config).toMatchObject({ sub_agents: [known.id], custom_tools: { http_tools: [{ headers: { key: '' } }] } })
})

test('defects 29, 67: all or nothing, with what is wrong where; another client’s agent is not to be had by its id', async () => {
  const foreign = (
    await app.bob.call('POST', '/api/v1/agents/', { client_id: app.bob.clientId, name: 'b', type: 'llm', model: 'demo/echo' })
  ).body
  const count = async () => (await exportOf(app.ada)).agents.length
  const before = await count()
  const good = { id: 'good', name: 'good', type: 'llm', model: 'demo/echo', config: {} }
  const refused = async (item: object) => {
    const { status, body } = await upload(app.ada, { agents: [good, item] })
    return [status, body.errors?.[0]?.pointer]
  }
  expect(await refused({ ...good, id: 'x', name: 'two words' })).toEqual([422, '/agents/1/name'])
  expect(await refused({ ...good, id: 'x', model: '' })).toEqual([422, '/agents/1/model'])
  expect(await refused({ ...good, id: 'x', type: 'crew_ai' })).toEqual([422, '/agents/1/type'])
  const untyped = await upload(app.ada, { agents: [good, { id: 'x', name: 'x' }] })
  expect(untyped.body.errors).toEqual([{ pointer: '/agents/1/type', code: 'required', message: 'Is required' }])
  expect(untyped.body.detail).toBe('Failed to import any agents: agents/1/type: Is required')
  expect(await refused(good)).toEqual([422, '/agents/1/id'])
  expect(await refused({ ...good, id: 'x', config: { sub_agents: [foreign.id] } })).toEqual([422, '/agents/1/config/sub_agents/0'])
  expect(await refused({ ...good, id: 'x', config: { sub_agents: ['x'] } })).toEqual([422, '/agents/1/config/sub_agents/0'])
  expect(
    await refused({ name: 'w', type: 'workflow', config: { workflow: { nodes: [node({ id: foreign.id, name: 'b' })], edges: [] } } }),
  ).toEqual([422, '/agents/1/config/workflow/nodes/0/data/agent/id'])
  const circle = { ...good, id: 'x', config: { sub_agents: ['good'] } }
  expect((await upload(app.ada, { agents: [{ ...good, config: { sub_agents: ['x'] } }, circle] })).body.detail).toContain('circle')
  expect((await upload(app.ada, { ...good, client_id: app.bob.clientId })).status).toBe(403)
  expect(await count()).toBe(before)
})

test('what is no file of agents is refused in the words of the reference', async () => {
  const answer = async (...args: [unknown, { name?: string; folder?: string }?]) => {
    const { status, body } = await upload(app.ada, ...args)
    return `${status} ${body.detail}`
  }
  expect(await answer({ agents: [] }, { name: 'agents.txt' })).toBe('400 Only JSON files are supported')
  expect(await answer('{')).toBe('400 Invalid JSON format')
  expect(await answer({ agents: {} })).toBe("400 The 'agents' field must contain a list of agent definitions")
  expect(await answer({ agents: [] }, { folder: 'x' })).toBe('400 Invalid folder ID format')
  expect(await answer({ agents: [] }, { folder: crypto.randomUUID() })).toBe('404 Folder not found')
  expect(await upload(app.ada, { agents: [] })).toEqual({ status: 201, body: [] })
  expect(await upload(app.ada, [{ name: 'in_a_list', type: 'llm', model: 'demo/echo' }])).toMatchObject({
    status: 201,
    body: [{ name: 'in_a_list' }],
  })
  const headers = {
    authorization: `Bearer ${app.ada.token}`,
    'x-client-id': app.ada.clientId,
    'content-type': 'multipart/form-data; boundary=x',
  }
  const form = async (body: string) => {
    const response = await fetch(`${app.url}/api/v1/agents/import`, { method: 'POST', headers, body })
    return `${response.status} ${((await response.json()) as { detail: string }).detail}`
  }
  const part = (disposition: string) => `--x\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n{}\r\n--x--\r\n`
  expect(await form('no form')).toBe('400 The form could not be parsed.')
  expect(await form(part('name="file"'))).toBe('422 file: Must be a file of a multipart/form-data body')
  expect(await form(part('name="folder_id"'))).toBe('400 Invalid folder ID format')
  // What a browser sends where no file was chosen.
  expect(await form(part('name="file"; filename=""'))).toBe('400 Only JSON files are supported')
  expect(await form('--x--\r\n')).toBe('422 Send the agents in a file, or as JSON in `agents`')
})

test('agents of a file go to the folder of the form, JSON is taken too, and an Idempotency-Key makes them once', async () => {
  const folder = (await app.ada.call('POST', '/api/v1/agents/folders', { client_id: app.ada.clientId, name: 'f' })).body
  const file = { name: 'filed', type: 'llm', model: 'demo/echo', config: {} }
  const headers = { 'idempotency-key': crypto.randomUUID() }
  const first = await upload(app.ada, file, { folder: folder.id, headers })
  expect(first).toMatchObject({ status: 201, body: [{ folder_id: folder.id }] })
  expect((await upload(app.ada, file, { folder: folder.id, headers })).body).toEqual(first.body)
  const json = await app.ada.call('POST', '/api/v1/agents/import', { agents: [file] }, { 'x-client-id': app.ada.clientId })
  expect(json).toMatchObject({ status: 201, body: [{ name: 'filed', folder_id: null }] })
})

test('an agent of a file that names its folder stays in it, and its key is a new one', async () => {
  const { call, clientId } = app.ada
  const makeFolder = async (name: string) => (await call('POST', '/api/v1/agents/folders', { client_id: clientId, name })).body.id
  const [its, other] = [await makeFolder('its'), await makeFolder('other')]
  const file = { name: 'keyed', type: 'llm', model: 'demo/echo', folder_id: its, config: { api_key: 'a-key-of-the-file-0123456789' } }
  const { status, body } = await upload(app.ada, file, { folder: other })
  expect([status, body[0].folder_id]).toEqual([201, its])
  expect(body[0].config.api_key).not.toBe(file.config.api_key)
  const [row] = await app.services.db.execute<{ config: string }>(sql`select config::text from agents where id = ${body[0].id}`)
  expect(row?.config).not.toContain(file.config.api_key)
})

test('a file holds five hundred agents at most', async () => {
  const agents = Array.from({ length: 501 }, (_, index) => ({ name: `a${index}`, type: 'llm', model: 'demo/echo' }))
  const { status, body } = await upload(app.bob, { agents })
  expect([status, body.errors]).toMatchObject([422, [{ pointer: '/agents/500', code: 'length' }]])
})

test('the export of one agent has all that it leads to, the agent first', async () => {
  const inner = await make({ name: 'leaf' })
  const middle = await make({ name: 'middle', type: 'loop', config: { sub_agents: [inner.id] } })
  const root = await make({ name: 'root', config: { agent_tools: [middle.id] } })
  const { body, headers } = await app.ada.call('GET', `/api/v1/agents/${root.id}/export`)
  expect(body.agents.map(({ name }: Json) => name)).toEqual(['root', 'middle', 'leaf'])
  expect(headers.get('content-disposition')).toContain('agents.json')
  expect((await upload(app.bob, body)).status).toBe(201)
})

test('an agent that has come to lead to more than five hundred is not exported in part', async () => {
  const root = await make({ name: 'root-of-many' })
  // One by one such a tree is refused; it grows when the agents below get more of their own.
  await app.services.db.execute(sql`
    with many as (
      insert into agents (id, client_id, name, type, key_hash, encrypted_key)
      select gen_random_uuid(), ${app.ada.clientId}, 'one-of-many', 'llm', decode(md5(n::text), 'hex'), 'x' from generate_series(1, 501) n returning id
    )
    update agents set config = jsonb_build_object('agent_tools', (select jsonb_agg(id) from many)) where id = ${root.id}`)
  const { status, body } = await app.ada.call('GET', `/api/v1/agents/${root.id}/export`)
  expect([status, body.errors]).toMatchObject([422, [{ pointer: '/path/agent_id', code: 'limit' }]])
})
