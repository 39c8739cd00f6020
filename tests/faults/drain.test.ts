import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import postgres from 'postgres'
import { findFreePort } from '~/processes/ports'
import { type RunningServer, startServer } from '../start/running-server'
import { readEvents, type StreamedEvent, shownText } from '../support/events'
import { startKeepAliveLoad } from '../support/keep-alive-load'
import { services } from '../support/services'
import { call, describeOutcomes, eightTimes, Traffic } from '../support/traffic'
import { until } from '../support/until'
import { createVisitor, isAlive, isReady, newEmail, type Visitor } from '../support/visitor'
import { startPlace } from '../support/whole-server'

setDefaultTimeout(60_000)

/** What a busy machine may add to a deadline. */
const SLACK_MS = 1500
const GRACE_SECONDS = 5

let place: Awaited<ReturnType<typeof startPlace>>
let server: RunningServer
let visitor: Visitor
const port = await findFreePort()
const sql = postgres(services.databaseUrl, { max: 1, prepare: false })

beforeAll(async () => {
  place = await startPlace()
  await startAgain()
  visitor = await createVisitor(server.url())
}, 60_000)
afterAll(async () => {
  await sql.end()
  if (server.processes().length > 0) server.kill('SIGTERM')
  await server.exited()
  await place.close()
})

async function startAgain() {
  server = startServer({
    ...place.env,
    PORT: `${port}`,
    SHUTDOWN_DRAIN_SECONDS: '1',
    // How fast this machine is matters to no test here.
    DATABASE_ACQUIRE_TIMEOUT_MS: '10000',
    SHUTDOWN_GRACE_SECONDS: `${GRACE_SECONDS}`,
    BUN_OPTIONS: `--preload=${join(import.meta.dir, '../support/breakable-child.ts')}`,
  })
  await server.ready()
}

/** `api-1-3f9a0c12`: changes whenever the process is replaced. */
const instanceOf = (name: string) => server.processes().flatMap(({ title }) => new RegExp(`${name}-\\w+`).exec(title)?.[0] ?? [])[0]
const hasAnswered = (instance: string) => server.out().includes(`"message":"request","process":"${instance}"`)

/** Sends a signal to an API process and waits until its successor answers requests. */
async function replace(name: string, signal: NodeJS.Signals) {
  const before = instanceOf(name)
  const [pid = 0] = server.pidsOf(` ${name}-`)
  process.kill(pid, signal)
  const deadline = performance.now() + 20_000
  for (let now = before; now === undefined || now === before || !hasAnswered(now); now = instanceOf(name)) {
    if (performance.now() > deadline) throw new Error(`${name} was not replaced`)
    // New connections: those that are kept open stay with the other process.
    await Promise.all([isAlive(server.url()), isAlive(server.url()), Bun.sleep(50)])
  }
}

test('F-25: rolling restarts under keep-alive load, one request in five a write: none fails', async () => {
  const { headers, agentId, newAgent } = visitor
  let sent = 0
  const next = () =>
    ++sent % 5 === 0
      ? { method: 'POST', path: '/api/v1/agents/', headers, body: JSON.stringify(newAgent('guide')) }
      : { method: 'GET', path: `/api/v1/agents/${agentId}`, headers }
  const load = startKeepAliveLoad(server.url(), { callers: 10, pauseMs: 80, next })
  for (let round = 0; round < 2; round++) for (const name of ['api-1', 'api-2']) await replace(name, 'SIGTERM')
  const { answered, failures, connections } = await load.stop()
  console.log(`four restarts: ${answered} requests answered over ${connections} connections, ${failures.length} failed`)
  expect(failures).toEqual([])
})

const WORDS = Array.from({ length: 25 }, (_, index) => `word${index}`).join(' ')
const message = { message: `/slow 100\n${WORDS}` }
const chatUrl = (session: string) => `${server.url()}/api/v1/chat/${visitor.agentId}/${session}`
const openStream = (session: string) =>
  fetch(`${chatUrl(session)}?stream=true`, {
    method: 'POST',
    headers: { ...visitor.headers, 'content-type': 'application/json' },
    body: JSON.stringify(message),
  })

test('F-26: SIGTERM with runs in hand: their clients are told to come back, all exits with 0 in time, and the next server goes on', async () => {
  const key = { 'idempotency-key': crypto.randomUUID() }
  const ask = () => call('ask', chatUrl('waiter'), { json: message, headers: { ...visitor.headers, ...key } })
  const seen: StreamedEvent[] = []
  const reading = readEvents(await openStream('leaver'), (event) => {
    seen.push(event)
    return false
  })
  const asked = ask()
  await until(() => seen.length > 5, 10_000)
  const askedAt = performance.now()
  server.kill('SIGTERM')
  expect(await server.exited()).toBe(0)
  const ms = performance.now() - askedAt
  console.log(`stopped ${Math.round(ms)} ms after SIGTERM with an open stream`)
  // At that time the supervisor would have killed them.
  expect(ms).toBeLessThan(GRACE_SECONDS * 1000)
  expect(server.processes()).toEqual([])
  await reading
  expect(seen.at(-1)).toMatchObject({ type: 'error', data: { problem: 'overloaded', detail: expect.stringContaining('Last-Event-ID') } })
  const refused = await asked
  expect(refused).toMatchObject({ status: 503, body: { type: expect.stringMatching(/overloaded$/) } })
  expect(refused.headers.get('retry-after')).toBe('1')

  await startAgain()
  const events = seen.slice(0, -1)
  const rest = await fetch(`${server.url()}/api/v1/runs/${events[0]?.data.run_id}/events`, {
    headers: { ...visitor.headers, 'last-event-id': String(events.at(-1)?.id) },
  })
  events.push(...(await readEvents(rest)))
  expect(events.map(({ id }) => id)).toEqual(events.map((_, index) => index + 1))
  expect(events.at(-1)?.type).toBe('run-finished')
  expect(shownText(events)).toBe(`Echo: ${WORDS}`)
  expect(events.filter(({ type }) => type === 'message')).toHaveLength(1)
  expect(await ask()).toMatchObject({ status: 200, body: { response: `Echo: ${WORDS}` } })
})

test('F-31: an unhandled rejection in an API process is logged, and the process replaced while the other one serves', async () => {
  const traffic = new Traffic().add({ callers: 2, pauseMs: 20 }, () => isAlive(server.url()))
  const brokenAt = performance.now()
  await replace('api-1', 'SIGUSR2')
  const ms = performance.now() - brokenAt
  const outcomes = await traffic.stop()
  console.log(`replaced after ${Math.round(ms)} ms; ${describeOutcomes(outcomes)}`)
  expect(ms).toBeLessThan(10_000)
  const lines = server.out().split('\n')
  expect(lines.filter((line) => line.includes('"uncaught exception"') && line.includes('broken on purpose'))).toHaveLength(1)
  expect(lines.filter((line) => line.includes('api-1 ended (exit code 1), restarting it'))).toHaveLength(1)
  // A connection that the kernel had given to the process as it closed its listener is lost with it.
  expect(outcomes.filter(({ status }) => status !== 200).length).toBeLessThanOrEqual(3)
})

test('F-27: a second SIGTERM ends all at once, with no transaction left open and no mail forgotten', async () => {
  const email = newEmail()
  void readEvents(await openStream('impatient'))
  expect((await visitor.register(email)).status).toBe(201)
  server.kill('SIGTERM')
  await Bun.sleep(200)
  expect(server.processes().length).toBeGreaterThan(0)
  const askedAt = performance.now()
  server.kill('SIGTERM')
  expect(await server.exited()).toBe(1)
  await until(() => server.processes().length === 0, 2000)
  expect(performance.now() - askedAt).toBeLessThan(2000 + SLACK_MS)
  const mails = await sql`
    select 1 from outbox where kind = 'email' and payload->>'user_id' = (select id::text from users where email = ${email})`
  expect(mails).toHaveLength(1)
  if (services.kind === 'native')
    expect(
      await sql`select 1 from pg_stat_activity where application_name like 'evo-%' and datname = current_database() and xact_start is not null`,
    ).toHaveLength(0)
})

test('F-28: started while both stores are down: alive, unready, 503; ready within 5 s of their return, by the same processes', async () => {
  const place = await startPlace()
  await place.redis.kill()
  await place.proxy.refuse()
  const port = await findFreePort()
  const url = `http://127.0.0.1:${port}`
  const server = startServer({ ...place.env, EVO_ROLE: 'api', PORT: `${port}` })
  try {
    const deadline = performance.now() + 20_000
    while ((await isAlive(url)).status !== 200 && performance.now() < deadline) await Bun.sleep(50)
    await Bun.sleep(1000)
    const before = server.pidsOf(' api-')
    expect(before).toHaveLength(2)
    for (const { status, body } of await eightTimes(() => isReady(url)))
      expect({ status, body }).toMatchObject({ status: 503, body: { status: 'unready', checks: { postgres: 'down', redis: 'down' } } })
    expect((await isAlive(url)).status).toBe(200)
    await Promise.all([place.proxy.listen(), place.redis.start()])
    const backAt = performance.now()
    while (!(await eightTimes(() => isReady(url))).every(({ body }) => body.status === 'ready') && performance.now() - backAt < 10_000)
      await Bun.sleep(50)
    console.log(`ready ${Math.round(performance.now() - backAt)} ms after both were back`)
    expect(performance.now() - backAt).toBeLessThan(5000 + SLACK_MS)
    expect(server.pidsOf(' api-')).toEqual(before)
  } finally {
    server.kill('SIGTERM')
    await server.exited()
    await place.close()
  }
})
