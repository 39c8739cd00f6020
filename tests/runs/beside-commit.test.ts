import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { openai, serveRaw, sse, sseThenSilence } from '../support/raw-provider'
import { startApp, type TestApp } from '../support/start-app'

/** PGlite has one session: what a turn begins with may be read only after its transaction there, and the model be asked later. */
const isNative = process.env.TEST_DATABASE_URL !== undefined
const reply = () => sse(openai.text('Good day'), openai.end('stop'), '[DONE]')

let provider: ReturnType<typeof serveRaw>
let app: TestApp
beforeAll(async () => {
  provider = serveRaw(() => (isNative ? sseThenSilence() : reply()), reply)
  app = await startApp({ OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: 'sk-test' })
})
afterAll(async () => {
  await dropFailure()
  await app.close()
  provider.stop()
})
afterEach(() => dropFailure())

/** Makes COMMITs of new runs fail for as long as `condition` holds. */
async function failCommits(condition: string, errcode: string) {
  const { db } = app.services.stores.database
  const body = `begin if ${condition} then raise 'not now' using errcode = '${errcode}'; end if; return null; end`
  for (const statement of [
    'create sequence tried_commits',
    `create function fail_commit() returns trigger language plpgsql security definer as $$ ${body} $$`,
    'create constraint trigger fail_commit after insert on runs deferrable initially deferred for each row execute function fail_commit()',
  ])
    await db.execute(sql.raw(statement))
}

async function dropFailure() {
  const { db } = app.services.stores.database
  await db.execute(sql`drop function if exists fail_commit cascade`)
  await db.execute(sql`drop sequence if exists tried_commits`)
}

const agentOf = async (): Promise<string> =>
  (await app.ada.call('POST', '/api/v1/agents/', { client_id: app.ada.clientId, name: 'a', type: 'llm', model: openai.model, config: {} }))
    .body.id
const runsOf = async (agentId: string) => (await app.ada.call('GET', `/api/v1/runs/?agent_id=${agentId}`)).body

test('a call of the model that was begun beside a COMMIT that failed is left; the attempt that lasts asks anew, and its events stand once', async () => {
  const id = await agentOf()
  await failCommits("nextval('tried_commits') = 1", '40001')
  const answer = await app.ada.call('POST', `/api/v1/chat/${id}/somebody`, { message: 'hello' })
  expect(answer).toMatchObject({ status: 200, body: { response: 'Good day' } })
  if (isNative) {
    expect(provider.seen).toHaveLength(2)
    await provider.seen[0]?.left
  }
  expect(await runsOf(id)).toMatchObject([{ status: 'succeeded', result: { response: 'Good day' } }])
  const { body } = await app.ada.call('GET', `/api/v1/sessions/somebody_${id}/messages`)
  expect(body.map(({ content }: { content: { parts: { text: string }[] } }) => content.parts[0]?.text)).toEqual(['hello', 'Good day'])
})

test('a turn whose COMMIT fails for good leaves no run, no word and no call behind, and the session is free', async () => {
  const id = await agentOf()
  await failCommits('true', 'P0001')
  const asked = await fetch(`${app.url}/api/v1/chat/${id}/somebody?stream=true`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${app.ada.token}` },
    body: JSON.stringify({ message: 'hello' }),
  })
  expect(asked.status).toBe(500)
  expect(await asked.text()).not.toContain('Good day')
  await dropFailure()
  expect(await runsOf(id)).toEqual([])
  const again = await app.ada.call('POST', `/api/v1/chat/${id}/somebody`, { message: 'once more' })
  expect(again.body.response).toBe('Good day')
  expect(await runsOf(id)).toHaveLength(1)
})
