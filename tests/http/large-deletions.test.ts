import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { startApp, type TestApp } from '../support/start-app'

/** Here it takes 10 ms to remove a session or to change a mail's row, so one statement for all of them would take longer than a statement may. */
let app: TestApp
beforeAll(async () => {
  app = await startApp({ DATABASE_STATEMENT_TIMEOUT_MS: '2000' })
  await app.services.db.execute(sql`
    create function be_slow() returns trigger language plpgsql as 'begin perform pg_sleep(0.01); return coalesce(new, old); end'`)
  await app.services.db.execute(sql`create trigger slow before delete on sessions for each row execute function be_slow()`)
  await app.services.db.execute(sql`create trigger slow before update on deliveries for each row execute function be_slow()`)
})
afterAll(async () => {
  await app.services.db.execute(sql`drop function be_slow cascade`)
  await app.close()
})

const SESSIONS = 250
const MAILS = 250

async function makeAgentOf(clientId: string): Promise<string> {
  const draft = { client_id: clientId, name: 'guide', type: 'llm', model: 'demo/echo', config: {} }
  const { id } = (await app.admin.call('POST', '/api/v1/agents/', draft)).body
  await app.services.db.execute(sql`
    insert into sessions (id, client_id, agent_id, external_id)
    select n || '_' || ${id}::text, ${clientId}, ${id}, n::text from generate_series(1, ${SESSIONS}::int) n`)
  return id
}

async function countSessions(): Promise<unknown> {
  const [row] = await app.services.db.execute(sql`select count(*)::int as n from sessions`)
  return row?.n
}

test('an agent can be deleted, however many sessions it has', async () => {
  const agentId = await makeAgentOf(app.ada.clientId)
  await makeAgentOf(app.bob.clientId)
  expect((await app.ada.call('DELETE', `/api/v1/agents/${agentId}`)).status).toBe(204)
  expect(await countSessions()).toBe(SESSIONS)
})

test('a client can be deleted, however many sessions it has and mails it was sent', async () => {
  const { clientId, userId } = app.bob
  await makeAgentOf(app.ada.clientId)
  await app.services.db.execute(sql`
    insert into deliveries (id, outbox_id, client_id, user_id, template, recipient, subject, state, provider)
    select gen_random_uuid(), gen_random_uuid(), ${clientId}, ${userId}, 'welcome', 'bob@example.com', 'Welcome', 'sent', 'smtp'
    from generate_series(1, ${MAILS}::int)`)
  expect((await app.admin.call('DELETE', `/api/v1/clients/${clientId}`)).status).toBe(204)
  expect(await countSessions()).toBe(SESSIONS)
  const [kept] = await app.services.db.execute(sql`select count(*)::int as n from deliveries where client_id is null and user_id is null`)
  expect(kept).toEqual({ n: MAILS })
})
