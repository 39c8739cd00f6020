import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { parseEntry } from '~/features/audit/entry'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app.close())

const upper = (id: string) => id.toUpperCase()

test('an id in upper case names the same thing, in the path, the query, a header and the body', async () => {
  const { call, clientId } = app.ada
  const own = { 'x-client-id': upper(clientId) }
  const folder = await call('POST', '/api/v1/agents/folders', { client_id: upper(clientId), name: 'Team' })
  expect(folder).toMatchObject({ status: 201, body: { client_id: clientId } })
  const agent = await call('POST', '/api/v1/agents/', {
    client_id: upper(clientId),
    name: 'guide',
    type: 'llm',
    model: 'demo/echo',
    folder_id: upper(folder.body.id),
  })
  expect(agent).toMatchObject({ status: 201, body: { folder_id: folder.body.id } })
  const path = `/api/v1/agents/${upper(agent.body.id)}`
  expect((await call('GET', path, undefined, own)).body).toEqual(agent.body)
  expect((await call('PUT', path, { ...agent.body, client_id: upper(clientId) })).status).toBe(200)
  const listed = await call('GET', `/api/v1/agents/?folder_id=${upper(folder.body.id)}`, undefined, own)
  expect(listed.body.map(({ id }: { id: string }) => id)).toEqual([agent.body.id])
  expect((await call('GET', `/api/v1/clients/${upper(clientId)}`)).body.id).toBe(clientId)
  expect((await call('GET', `/api/v1/contacts?client_id=${upper(clientId)}`)).status).toBe(200)
  expect((await call('GET', `/api/v1/clients/${upper(app.bob.clientId)}`)).status).toBe(403)
})

test('the key of an agent opens it under an id in upper case', async () => {
  const { call, clientId } = app.ada
  const agent = { client_id: clientId, name: 'talker', type: 'llm', model: 'demo/echo' }
  const { id, config } = (await call('POST', '/api/v1/agents/', agent)).body
  const said = { method: 'POST', headers: { 'x-api-key': config.api_key, 'content-type': 'application/json' }, body: '{"message":"hi"}' }
  expect((await fetch(`${app.url}/api/v1/chat/${upper(id)}/somebody`, said)).status).toBe(200)
  expect((await call('GET', `/api/v1/sessions/somebody_${id}`)).status).toBe(200)
  const runs = await call('GET', `/api/v1/runs/?agent_id=${upper(id)}`)
  expect(runs.body).toMatchObject([{ agent_id: id }])
})

test('the name that a client gave a conversation stays as it is, even where it looks like an id', async () => {
  const { call, clientId } = app.ada
  const { id } = (await call('POST', '/api/v1/agents/', { client_id: clientId, name: 'namer', type: 'llm', model: 'demo/echo' })).body
  const external = upper(crypto.randomUUID())
  expect((await call('POST', `/api/v1/chat/${id}/${external}`, { message: 'hi' })).status).toBe(200)
  expect((await call('GET', `/api/v1/sessions/${external}_${id}`)).body).toMatchObject({ id: `${external}_${id}` })
})

test('a budget of an agent named in upper case is the budget of that agent', async () => {
  const { call, clientId } = app.ada
  const agent = { client_id: clientId, name: 'spender', type: 'llm', model: 'demo/echo' }
  const { id } = (await call('POST', '/api/v1/agents/', agent)).body
  const set = await call('PUT', `/api/v1/budgets/${upper(clientId)}/agent/${upper(id)}`, { limit_usd: 5 })
  expect(set).toMatchObject({ status: 200, body: { scope_id: id } })
  expect((await call('DELETE', `/api/v1/budgets/${clientId}/agent/${id}`)).status).toBe(204)
})

test('secrets stay readable however the ids of client and row were written when they were sealed', async () => {
  const { call, clientId } = app.bob
  const key = { client_id: upper(clientId), name: 'k', provider: 'nobody', key_value: 'provider-secret-4f6Hk2Lm8Np0' }
  // The first secret of the client, which its data key is made for.
  const { id } = (await app.admin.call('POST', '/api/v1/agents/apikeys/', key)).body
  const check = () => call('POST', `/api/v1/agents/apikeys/${id}/check`, undefined, { 'x-client-id': clientId })
  expect(await check()).toMatchObject({ status: 200, body: { outcome: 'unsupported' } })
  const replaced = { key_value: 'provider-secret-replaced' }
  expect((await call('PUT', `/api/v1/agents/apikeys/${upper(id)}`, replaced, { 'x-client-id': clientId })).status).toBe(200)
  expect(await check()).toMatchObject({ status: 200, body: { outcome: 'unsupported' } })
})

test('the audit log takes what an admin did to a client named in upper case', async () => {
  const { clientId } = app.ada
  const folder = { client_id: upper(clientId), name: 'Audited' }
  const { id } = (await app.admin.call('POST', '/api/v1/agents/folders', folder)).body
  const rows = await app.services.db.execute<{ id: string; payload: unknown }>(
    sql`select id, payload from outbox where kind = 'audit' and payload->>'resource_id' = ${id}`,
  )
  expect(rows.map((row) => parseEntry(row.id, row.payload)?.client_id)).toEqual([clientId])
})
