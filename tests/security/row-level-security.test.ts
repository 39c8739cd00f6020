import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { inTenantScope, sqlState } from '~/platform/db'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp({ DATABASE_RLS: 'enforce' })
})
afterAll(() => app.close())

const newAgent = { name: 'guide', type: 'llm', model: 'demo/echo', config: {} }

/** Everything but what the server keeps for itself, with the reason. */
const UNBOUND: Record<string, string> = {
  schema_migrations: 'no tenant data',
  mcp_servers: 'a catalogue for all, which only admins change',
  tools: 'a catalogue for all, which only admins change',
  idempotency_keys: 'keyed by the caller',
  attempt_counters: 'keyed by who signs in from where',
  audit_chains: 'closed to tenants altogether: the heads of the chains, which the worker alone moves',
  dead_letters: 'closed to tenants altogether',
  email_events: 'closed to tenants altogether: what the mail provider told',
  email_suppressions: 'closed to tenants altogether: addresses that get no mail',
  doomed_objects: 'names of objects that are to go; nothing is read by them',
}

test('every table has its policy, or is named here with the reason why not', async () => {
  const rows = await app.services.db.execute<{ name: string; bound: boolean }>(
    sql`select relname as name, relrowsecurity as bound from pg_class
      where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition order by 1`,
  )
  expect(rows.filter(({ bound }) => !bound).map(({ name }) => name)).toEqual(Object.keys(UNBOUND).toSorted())
})

test('ACL-12: a statement without a client filter finds the rows of the tenant, and none without one', async () => {
  for (const person of [app.ada, app.bob])
    expect((await person.call('POST', '/api/v1/agents/', { ...newAgent, client_id: person.clientId })).status).toBe(201)
  const { db } = app.services
  const owners = async () => [...(await db.execute<{ client_id: string }>(sql`select client_id from agents`))]
  expect(await owners()).toHaveLength(2)
  expect(await inTenantScope(app.ada.clientId, owners)).toEqual([{ client_id: app.ada.clientId }])
  const nobody = '00000000-0000-4000-8000-000000000000'
  expect(await inTenantScope(nobody, owners)).toHaveLength(0)
  const inTransaction = () => app.services.stores.database.transaction((tx) => tx.execute(sql`select client_id from agents`))
  expect(await inTenantScope(app.bob.clientId, inTransaction)).toHaveLength(1)
})

test('ACL-12: a tenant can neither write into another client nor read what is closed to it', async () => {
  const { db } = app.services
  // Drizzle's statements begin when they are awaited, which must be inside the scope.
  const asAda = (statement: ReturnType<typeof sql>) => inTenantScope(app.ada.clientId, async () => await db.execute(statement))
  const foreign = asAda(sql`insert into agent_folders (client_id, name) values (${app.bob.clientId}, 'planted')`)
  expect(sqlState(await foreign.catch((error) => error))?.code).toBe('42501')
  const closed = asAda(sql`select * from dead_letters`)
  expect(sqlState(await closed.catch((error) => error))?.code).toBe('42501')
})

describe('with the policies enforced', () => {
  test('a request is bound to its caller, an admin is not', async () => {
    const own = await app.ada.call('GET', '/api/v1/agents/', undefined, { 'x-client-id': app.ada.clientId })
    expect(own.body).toHaveLength(1)
    expect((await app.admin.call('GET', '/api/v1/clients/')).body).toHaveLength(2)
  })

  test('an agent is talked to, by its people and by its key, and the run is stored', async () => {
    const { body: agent } = await app.ada.call('POST', '/api/v1/agents/', { ...newAgent, name: 'second', client_id: app.ada.clientId })
    const asked = await app.ada.call('POST', `/api/v1/chat/${agent.id}/user-1`, { message: 'hello' })
    expect(asked).toMatchObject({ status: 200, body: { response: 'Echo: hello' } })
    const key = { 'x-api-key': agent.config.api_key }
    expect(await app.stranger('POST', `/api/v1/chat/${agent.id}/user-2`, { message: 'hi' }, key)).toMatchObject({ status: 200 })
    expect((await app.ada.call('GET', `/api/v1/sessions/user-1_${agent.id}/messages`)).body).toHaveLength(2)
    expect((await app.bob.call('GET', `/api/v1/sessions/user-1_${agent.id}/messages`)).status).toBe(404)
  })
})
