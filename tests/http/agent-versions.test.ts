import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app.close())

const tools = (secret: string) => ({
  custom_tools: { http_tools: [{ name: 'one', method: 'GET', endpoint: 'https://api.example.com/', headers: { key: secret } }] },
})
const make = (more: object = {}) =>
  app.ada.call('POST', '/api/v1/agents/', { client_id: app.ada.clientId, name: 'first', type: 'llm', model: 'demo/echo', ...more })
const put = (id: string, change: object, headers: Record<string, string> = {}) =>
  app.ada.call('PUT', `/api/v1/agents/${id}`, change, headers)
const get = (id: string, path = '') => app.ada.call('GET', `/api/v1/agents/${id}${path}`)

test('each change makes a version that can be read, compared and returned to, with the secrets that it had', async () => {
  const { id, config } = (await make({ config: tools('the-first-secret-aaaa') })).body
  await put(id, { name: 'second', config: tools('the-second-secret-bbbb') })
  await put(id, { instruction: 'Be brief.' })
  const list = await get(id, '/versions')
  expect(list.headers.get('x-total-count')).toBe('3')
  expect(list.body.map(({ version, name, is_current }: Record<string, unknown>) => [version, name, is_current])).toEqual([
    [3, 'second', true],
    [2, 'second', false],
    [1, 'first', false],
  ])
  expect((await get(id, '/versions?skip=1&limit=1')).body).toEqual([list.body[1]])
  const first = (await get(id, '/versions/1')).body
  expect(first.definition).toMatchObject({ name: 'first', instruction: null, config: { custom_tools: config.custom_tools } })
  expect(JSON.stringify(first)).not.toContain('the-first-secret')
  expect((await get(id, '/versions/1/diff')).body).toEqual([
    { pointer: '/name', from: 'first', to: 'second' },
    { pointer: '/instruction', from: null, to: 'Be brief.' },
    { pointer: '/config/custom_tools/http_tools/0/headers/key', from: '__secret__:aaaa', to: '__secret__:bbbb' },
  ])
  expect((await get(id, '/versions/2/diff?to=3')).body).toEqual([{ pointer: '/instruction', from: null, to: 'Be brief.' }])
  const back = await app.ada.call('POST', `/api/v1/agents/${id}/versions/1/rollback`)
  expect(back).toMatchObject({ status: 200, body: { id, name: 'first', instruction: null, config: { api_key: config.api_key } } })
  expect((await get(id, '/versions')).body[0]).toMatchObject({ version: 4, name: 'first', is_current: true })
  const { config: opened } = await app.services.agents.load({ clientId: app.ada.clientId, agentId: null }, id)
  expect(opened).toMatchObject(tools('the-first-secret-aaaa'))
  expect((await get(id, '/versions/9')).status).toBe(404)
  expect((await get(id, '/versions/0')).status).toBe(422)
})

test('what a former version named and is gone since is refused at a rollback', async () => {
  const folderless = (await make()).body
  const { id } = (await make({ config: { sub_agents: [folderless.id] } })).body
  await put(id, { config: {} })
  await app.ada.call('DELETE', `/api/v1/agents/${folderless.id}`)
  expect(await app.ada.call('POST', `/api/v1/agents/${id}/versions/1/rollback`)).toMatchObject({
    status: 422,
    body: { errors: [{ pointer: '/config/sub_agents/0' }] },
  })
})

test('If-Match: who has not seen the last change is told so, of two at once one wins', async () => {
  const created = await make()
  const { id } = created.body
  const tag = created.headers.get('etag') ?? ''
  expect(tag).toBe((await get(id)).headers.get('etag') ?? '')
  const both = await Promise.all(['a', 'b'].map((description) => put(id, { description }, { 'if-match': tag })))
  expect(both.map(({ status }) => status).toSorted()).toEqual([200, 412])
  const now = both.find(({ status }) => status === 200)?.headers.get('etag') ?? ''
  expect(both.find(({ status }) => status === 412)?.body.type).toEndWith('/precondition-failed')
  expect((await put(id, {}, { 'if-match': `"x", ${now}` })).status).toBe(200)
  expect((await put(id, {}, { 'if-match': '*' })).status).toBe(200)
  expect((await app.ada.call('DELETE', `/api/v1/agents/${id}`, undefined, { 'if-match': tag })).status).toBe(412)
  expect((await app.ada.call('DELETE', `/api/v1/agents/${id}`)).status).toBe(204)
})

test('defect 43: what the server owns is accepted in a change and ignored', async () => {
  const { body } = await make()
  const changed = await put(body.id, { ...body, id: crypto.randomUUID(), created_at: '2001-01-01T00:00:00Z', name: 'mine' })
  expect(changed.body).toMatchObject({ id: body.id, created_at: body.created_at, name: 'mine' })
  expect((await put(body.id, { version: 7 })).status).toBe(422)
})

test('defect 65: reading changes nothing', async () => {
  const { body } = await make({ name: 'with-dash' })
  expect((await get(body.id)).body).toEqual(body)
  expect((await get(body.id, '/versions')).body).toHaveLength(1)
})
