import { afterAll, afterEach, beforeAll, expect, setSystemTime, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { PASSWORD, startApp, type TestApp } from '../support/start-app'

/** The clock of this process is set; PostgreSQL and Redis have their own. */
const MINUTE = 60_000
const shift = (ms: number) => setSystemTime(new Date(Date.now() + ms))
afterEach(() => {
  setSystemTime()
})

let app: TestApp
let agent: { id: string; config: { api_key: string } }
beforeAll(async () => {
  app = await startApp()
  const draft = { client_id: app.ada.clientId, name: 'echo', type: 'llm', model: 'demo/echo', config: {} }
  agent = (await app.ada.call('POST', '/api/v1/agents/', draft)).body
})
afterAll(() => app.close())

test('F-32: a token is checked by the own clock, within a minute of tolerance', async () => {
  const seen = []
  for (const ms of [-MINUTE / 2, 5 * MINUTE, -5 * MINUTE, 60 * MINUTE, 0]) {
    // Each has a token that nobody has looked at yet.
    const login = await app.stranger('POST', '/api/v1/auth/login', { email: app.ada.email, password: PASSWORD })
    shift(ms)
    seen.push((await app.callWith(login.body.access_token)('POST', '/api/v1/auth/me')).status)
    setSystemTime()
  }
  expect(seen).toEqual([200, 200, 401, 401, 200])
})

test.each([-60 * MINUTE, 60 * MINUTE])('F-32: with a clock that is off by %d ms a run has its time and its lease', async (ms) => {
  shift(ms)
  const id = `visitor${ms}`
  const answer = app.stranger(
    'POST',
    `/api/v1/chat/${agent.id}/${id}`,
    { message: '/slow 100\na b c d e' },
    { 'x-api-key': agent.config.api_key },
  )
  const look = async () => {
    const [run] = await app.services.db.execute<{ lease: boolean; deadline: boolean }>(
      sql`select lease_until between now() - interval '1 minute' and now() + interval '1 minute' as lease,
            deadline_at between now() and now() + interval '11 minutes' as deadline
          from runs where session_id = ${`${id}_${agent.id}`} and status = 'running'`,
    )
    return run
  }
  let run = await look()
  while (run === undefined) run = await look()
  expect(run).toEqual({ lease: true, deadline: true })
  expect(await answer).toMatchObject({ status: 200, body: { response: 'Echo: a b c d e' } })
})

test('F-32: a lock is not over for a clock that is ahead', async () => {
  const login = async () =>
    (await app.stranger('POST', '/api/v1/auth/login', { email: app.bob.email, password: 'a wrong password' })).status
  const tries = []
  for (let i = 0; i < 6; i++) tries.push(await login())
  expect(tries).toEqual([401, 401, 401, 401, 401, 429])
  shift(60 * MINUTE)
  expect(await login()).toBe(429)
})
