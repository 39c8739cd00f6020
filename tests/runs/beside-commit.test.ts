import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import postgres from 'postgres'
import { openai, serveRaw, sse, sseThenSilence } from '../support/raw-provider'
import { services } from '../support/services'
import { startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

/** PGlite has one session: nobody holds a lock there while somebody else waits for it. */
const isNative = process.env.TEST_DATABASE_URL !== undefined
if (!isNative)
  console.warn('PGlite has one session: whether a turn that waits has asked the model already is looked at on PostgreSQL alone')
const reply = () => sse(openai.text('Good day'), openai.end('stop'), '[DONE]')
const MOST_RUNS = 4

let isSilent = false
let provider: ReturnType<typeof serveRaw>
let app: TestApp
beforeAll(async () => {
  provider = serveRaw(() => (isSilent ? sseThenSilence() : reply()))
  app = await startApp({ OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: 'sk-test', RUNS_PER_CLIENT: String(MOST_RUNS) })
})
afterAll(async () => {
  await app.close()
  provider.stop()
})
beforeEach(() => {
  provider.seen.length = 0
  isSilent = false
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
const say = (agentId: string, message: string, { as = 'somebody', headers = {} }: { as?: string; headers?: Record<string, string> } = {}) =>
  app.ada.call('POST', `/api/v1/chat/${agentId}/${as}`, { message }, headers)
const saidIn = async (sessionId: string) =>
  (await app.ada.call('GET', `/api/v1/sessions/${sessionId}/messages`)).body.map(
    ({ content }: { content: { parts: { text: string }[] } }) => content.parts[0]?.text,
  )
/** What the model was told in each of its calls. */
const told = () => provider.seen.map(({ body }) => (body.messages as { content: unknown }[]).map(({ content }) => textOf(content)))
const textOf = (content: unknown): string =>
  typeof content === 'string' ? content : (content as { text: string }[]).map(({ text }) => text).join('')

test('a turn asks the model once, and tells it what was said before in its own session', async () => {
  const id = await agentOf()
  for (const [as, message] of [
    ['ann', 'one'],
    ['bob', 'two'],
    ['ann', 'three'],
  ] as const)
    expect(await say(id, message, { as })).toMatchObject({ status: 200, body: { response: 'Good day' } })
  expect(told()).toEqual([['one'], ['two'], ['one', 'Good day', 'three']])
})

test.skipIf(!isNative)(
  'the model is asked while the turn waits to be accepted; who was faster is heard of, and it is asked anew',
  async () => {
    const id = await agentOf()
    await say(id, 'hello')
    const session = `somebody_${id}`
    isSilent = true
    const locker = postgres(services.databaseUrl, { max: 1, onnotice: () => {} })
    const { turn } = await locker.begin(async (tx) => {
      await tx`select 1 from sessions where id = ${session} for update`
      const waiting = say(id, 'and?')
      await until(() => provider.seen.length === 2)
      expect(await runsOf(id)).toHaveLength(1)
      await tx`
      insert into events (id, client_id, session_id, author, content)
      values (gen_random_uuid(), ${app.ada.clientId}, ${session}, 'user', ${tx.json({ role: 'user', parts: [{ text: 'I was faster' }] })})`
      isSilent = false
      // As an object, so that it is not waited for.
      return { turn: waiting }
    })
    await locker.end()
    expect((await turn).body.response).toBe('Good day')
    await provider.seen[1]?.left
    expect(told().map((messages) => messages.slice(2))).toEqual([[], ['and?'], ['I was faster', 'and?']])
    expect(await runsOf(id)).toMatchObject([{ status: 'succeeded' }, { status: 'succeeded' }])
  },
)

test('a call of the model that was begun before a COMMIT that failed serves the one that succeeds', async () => {
  const id = await agentOf()
  await failCommits("nextval('tried_commits') = 1", '40001')
  expect(await say(id, 'hello')).toMatchObject({ status: 200, body: { response: 'Good day' } })
  expect(told()).toEqual([['hello']])
  expect(await runsOf(id)).toMatchObject([{ status: 'succeeded', result: { response: 'Good day' } }])
  expect(await saidIn(`somebody_${id}`)).toEqual(['hello', 'Good day'])
})

test('a turn whose COMMIT fails for good leaves no run, no word and no call behind, and the session is free', async () => {
  const id = await agentOf()
  isSilent = true
  await failCommits('true', 'P0001')
  const asked = await fetch(`${app.url}/api/v1/chat/${id}/somebody?stream=true`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${app.ada.token}` },
    body: JSON.stringify({ message: 'hello' }),
  })
  expect(asked.status).toBe(500)
  for (const call of provider.seen) await call.left
  isSilent = false
  await dropFailure()
  expect(await runsOf(id)).toEqual([])
  expect((await say(id, 'once more')).body.response).toBe('Good day')
  expect(told().at(-1)).toEqual(['once more'])
  expect(await runsOf(id)).toHaveLength(1)
})

test('COST-02, COST-04: no call is made for a turn that has its answer already, or that is near the limit of runs', async () => {
  const id = await agentOf()
  const headers = { 'idempotency-key': crypto.randomUUID() }
  const answers = [await say(id, 'hello', { headers }), await say(id, 'hello', { headers })]
  expect(answers.map(({ status, body }) => [status, body.response])).toEqual(Array(2).fill([200, 'Good day']))
  expect(told()).toEqual([['hello']])
  isSilent = true
  const talks = Array.from({ length: MOST_RUNS }, (_, index) => say(id, 'wait', { as: `talk-${index}` }))
  // The model may be asked before they are accepted; they count from then on.
  await until(async () => provider.seen.length === 1 + MOST_RUNS && (await runsOf(id)).length === 1 + MOST_RUNS)
  expect(await say(id, 'too many', { as: 'another' })).toMatchObject({ status: 429 })
  expect(told().flat()).not.toContain('too many')
  for (const { id: runId } of await runsOf(id)) await app.ada.call('POST', `/api/v1/runs/${runId}/cancel`)
  await Promise.all(talks)
})
