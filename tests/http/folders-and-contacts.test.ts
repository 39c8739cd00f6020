import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app.close())

const own = () => ({ 'x-client-id': app.ada.clientId })
const makeFolder = async (name = 'Team', description?: string) =>
  (await app.ada.call('POST', '/api/v1/agents/folders', { client_id: app.ada.clientId, name, ...(description && { description }) })).body
const makeAgent = async (more: object = {}) =>
  (await app.ada.call('POST', '/api/v1/agents', { client_id: app.ada.clientId, name: 'guide', type: 'llm', model: 'demo/echo', ...more }))
    .body

test('a folder is made, listed, renamed with its description kept, and deleted without its agents', async () => {
  const { call } = app.ada
  const folder = await makeFolder('Team', 'Ours')
  expect(folder).toMatchObject({ client_id: app.ada.clientId, name: 'Team', description: 'Ours', updated_at: null })
  const list = await call('GET', '/api/v1/agents/folders', undefined, own())
  expect(list.body).toEqual([folder])
  expect(list.headers.get('x-total-count')).toBe('1')
  const renamed = await call('PUT', `/api/v1/agents/folders/${folder.id}`, { name: 'Crew', description: null }, own())
  expect(renamed.body).toMatchObject({ name: 'Crew', description: 'Ours', updated_at: expect.any(String) })
  expect((await call('PUT', `/api/v1/agents/folders/${folder.id}`, { description: 'x' }, own())).status).toBe(422)
  const agent = await makeAgent({ folder_id: folder.id })
  expect((await call('DELETE', `/api/v1/agents/folders/${folder.id}`, undefined, own())).status).toBe(204)
  expect((await call('GET', `/api/v1/agents/${agent.id}`)).body.folder_id).toBe(null)
  expect(await call('GET', `/api/v1/agents/folders/${folder.id}`, undefined, own())).toMatchObject({
    status: 404,
    body: { detail: 'Folder not found' },
  })
})

test('agents move into a folder and out of it, and lists can be narrowed to one', async () => {
  const { call } = app.ada
  const [folder, agent] = [await makeFolder(), await makeAgent()]
  const moved = await call('PUT', `/api/v1/agents/${agent.id}/folder?folder_id=${folder.id}`, {}, own())
  expect(moved).toMatchObject({ status: 200, body: { folder_id: folder.id } })
  const inFolder = await call('GET', `/api/v1/agents/folders/${folder.id}/agents`, undefined, own())
  expect(inFolder.body.map(({ id }: { id: string }) => id)).toEqual([agent.id])
  expect((await call('GET', `/api/v1/agents/?folder_id=${folder.id}`, undefined, own())).body).toEqual(inFolder.body)
  expect((await call('PUT', `/api/v1/agents/${agent.id}/folder`, undefined, own())).body.folder_id).toBe(null)
  const foreign = (await app.bob.call('POST', '/api/v1/agents/folders', { client_id: app.bob.clientId, name: 'b' })).body.id
  for (const id of [foreign, crypto.randomUUID()])
    expect(await call('PUT', `/api/v1/agents/${agent.id}/folder?folder_id=${id}`, {}, own())).toMatchObject({
      status: 404,
      body: { detail: 'Folder not found' },
    })
})

test('a move is a version of the agent, and no change takes an agent to another client', async () => {
  const { call } = app.ada
  const [folder, agent] = [await makeFolder(), await makeAgent()]
  await call('PUT', `/api/v1/agents/${agent.id}/folder?folder_id=${folder.id}`, {}, own())
  expect((await call('GET', `/api/v1/agents/${agent.id}/versions`)).body).toMatchObject([{ version: 2 }, { version: 1 }])
  for (const person of [app.ada, app.admin]) {
    const away = await person.call('PUT', `/api/v1/agents/${agent.id}`, { client_id: app.bob.clientId, description: 'away' })
    expect(away.status).toBe(403)
  }
  expect((await call('GET', `/api/v1/agents/${agent.id}`)).body).toMatchObject({ client_id: app.ada.clientId, description: null })
})

test('routes about folders demand the header of the client', async () => {
  expect((await app.ada.call('GET', '/api/v1/agents/folders')).status).toBe(422)
  expect((await app.ada.call('PUT', `/api/v1/agents/${crypto.randomUUID()}/folder`, {})).status).toBe(422)
})

test('a contact is made, found, replaced as a whole and deleted; its external id is taken once a client', async () => {
  const { call, clientId } = app.ada
  const created = await call('POST', '/api/v1/contacts/', {
    client_id: clientId,
    ext_id: '+491701',
    name: 'Grace',
    meta: { tags: ['vip'] },
  })
  expect(created).toMatchObject({
    status: 201,
    body: { client_id: clientId, ext_id: '+491701', name: 'Grace', meta: { tags: ['vip'] } },
  })
  const path = `/api/v1/contacts/${created.body.id}`
  expect((await call('GET', path)).body).toEqual(created.body)
  expect((await call('POST', '/api/v1/contacts/', { client_id: clientId, ext_id: '+491701' })).status).toBe(409)
  const other = { client_id: app.bob.clientId, ext_id: '+491701' }
  expect((await app.bob.call('POST', '/api/v1/contacts/', other)).status).toBe(201)
  const list = await call('GET', `/api/v1/contacts?client_id=${clientId}&limit=1000`)
  expect(list.body).toEqual([created.body])
  expect((await call('PUT', path, { client_id: clientId, name: 'Hopper' })).body).toMatchObject({ ext_id: null, name: 'Hopper', meta: {} })
  expect((await call('PUT', path, { ...other, name: 'Hopper' })).status).toBe(403)
  const taken = { client_id: clientId, ext_id: '+491702' }
  const second = await call('POST', '/api/v1/contacts/', taken)
  expect((await call('PUT', path, taken)).status).toBe(409)
  expect((await call('DELETE', `/api/v1/contacts/${second.body.id}`)).status).toBe(204)
  expect((await call('POST', '/api/v1/contacts/', { client_id: clientId, ext_id: 'a_b' })).status).toBe(422)
  expect((await call('DELETE', path)).status).toBe(204)
  expect((await call('GET', path)).body.detail).toBe('Contact not found')
})

test('what is known of a contact has 64 KiB at most', async () => {
  const { call, clientId } = app.ada
  const meta = (length: number) => ({ client_id: clientId, meta: { a: 'x'.repeat(length - '{"a":""}'.length) } })
  expect((await call('POST', '/api/v1/contacts/', meta(65_536))).status).toBe(201)
  const refused = await call('POST', '/api/v1/contacts/', meta(65_537))
  expect([refused.status, refused.body.errors]).toMatchObject([422, [{ pointer: '/meta', code: 'length' }]])
})

test('erasing takes the sessions of a contact that was deleted and made anew; the receipt is for its client alone', async () => {
  const { call, clientId } = app.ada
  const agent = await makeAgent()
  const make = async () => (await call('POST', '/api/v1/contacts/', { client_id: clientId, ext_id: 'early' })).body
  const before = await make()
  await call('POST', `/api/v1/chat/${agent.id}/early`, { message: 'hello' })
  expect((await call('DELETE', `/api/v1/contacts/${before.id}`)).status).toBe(204)
  const contact = await make()
  const erase = `/api/v1/contacts/${contact.id}/erase`
  const receipt = await call('POST', erase)
  expect(receipt).toMatchObject({ status: 200, body: { removed: { sessions: 1, runs: 1 } } })
  expect((await call('GET', `/api/v1/sessions/early_${agent.id}`)).status).toBe(404)
  expect(await app.bob.call('POST', erase)).toMatchObject({ status: 404, body: { detail: 'Contact not found' } })
  expect((await app.admin.call('POST', erase)).body).toEqual(receipt.body)
})
