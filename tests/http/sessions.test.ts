import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { auditedIn } from '../support/outbox'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app.close())

const makeAgent = async (name: string): Promise<string> =>
  (await app.ada.call('POST', '/api/v1/agents/', { client_id: app.ada.clientId, name, type: 'llm', model: 'demo/echo' })).body.id
const say = (agentId: string, externalId: string, message: string) =>
  app.ada.call('POST', `/api/v1/chat/${agentId}/${externalId}`, { message })
const idsIn = (body: { id: string }[]) => body.map(({ id }) => id)

test('the sessions of an agent are its own, those of a client all that its agents have', async () => {
  const [guide, clerk] = [await makeAgent('guide'), await makeAgent('clerk')]
  for (const [agentId, externalId] of [
    [guide, 'u1'],
    [clerk, 'u1'],
    [guide, 'u2'],
  ] as const)
    await say(agentId, externalId, 'hello')
  const ofGuide = await app.ada.call('GET', `/api/v1/sessions/agent/${guide}`)
  expect(idsIn(ofGuide.body)).toEqual([`u2_${guide}`, `u1_${guide}`])
  expect(ofGuide.headers.get('x-total-count')).toBe('2')
  const ofClient = await app.ada.call('GET', `/api/v1/sessions/client/${app.ada.clientId}`)
  expect(idsIn(ofClient.body)).toEqual([`u2_${guide}`, `u1_${clerk}`, `u1_${guide}`])
})

test('messages are counted from the newest, and shown oldest first', async () => {
  const agentId = await makeAgent('paged')
  for (const word of ['one', 'two', 'three']) await say(agentId, 'u', word)
  const { body } = await app.ada.call('GET', `/api/v1/sessions/u_${agentId}/messages?skip=1&limit=3`)
  const texts = body.map(({ content }: { content: { parts: { text: string }[] } }) => content.parts[0]?.text)
  expect(texts).toEqual(['two', 'Echo: two', 'three'])
})

test('a session is read with its newest thousand events', async () => {
  const agentId = await makeAgent('long')
  const id = `u_${agentId}`
  await say(agentId, 'u', 'first')
  await app.services.db.execute(sql`
    insert into events (id, client_id, session_id, author, content)
    select gen_random_uuid(), client_id, session_id, author, content from events, generate_series(1, 1000) where session_id = ${id} and author = 'user'`)
  const { body } = await app.ada.call('GET', `/api/v1/sessions/${id}`)
  expect(body.events).toHaveLength(1000)
  expect(new Set(body.events.map(({ author }: { author: string }) => author))).toEqual(new Set(['user']))
})

test('who deletes a session is in the audit log', async () => {
  const agentId = await makeAgent('gone')
  await say(agentId, 'u', 'hello')
  const deleted = await app.ada.call('DELETE', `/api/v1/sessions/u_${agentId}`)
  expect(await auditedIn(app, deleted)).toMatchObject([
    { action: 'delete', resource_type: 'session', resource_id: `u_${agentId}`, client_id: app.ada.clientId, user_id: app.ada.userId },
  ])
})

test("another client's agent is absent, also once the server remembers whose it is", async () => {
  const agentId = await makeAgent('remembered')
  expect((await say(agentId, 'u', 'hello')).status).toBe(200)
  expect((await app.bob.call('POST', `/api/v1/chat/${agentId}/u`, { message: 'hello' })).status).toBe(404)
  expect((await app.bob.call('GET', `/api/v1/sessions/agent/${agentId}`)).status).toBe(404)
})
