import { afterAll, beforeAll, expect, test } from 'bun:test'
import { inheritLog } from '~/features/runs/inherited-log'
import { createLiveLog } from '~/features/runs/live-log'
import type { LogEvent } from '~/features/runs/log-event'
import type { OwnedRun } from '~/features/runs/queries/owned'
import { requestCancel } from '~/features/runs/queries/runs'
import { silentLog } from '~/platform/log'
import type { RedisStore } from '~/platform/redis'
import { createServices } from '~/processes/services'
import { services as stores } from '../support/services'
import { type Person, startApp, type TestApp } from '../support/start-app'
import { TcpProxy } from '../support/tcp-proxy'
import { until } from '../support/until'

let app: TestApp

const logKey = (redis: RedisStore, runId: string) => redis.key('run', `{${runId}}`, 'log')

async function storedLog({ db }: TestApp['services'], runId: string): Promise<LogEvent[]> {
  const chunks = await db.execute<{ events: LogEvent[] }>(`select events from run_events where run_id = '${runId}' order by first_seq`)
  return chunks.flatMap(({ events }) => events)
}

let calls = 0
const tool = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  async fetch() {
    calls += 1
    await Bun.sleep(1500)
    return Response.json({ booked: calls })
  },
})
beforeAll(async () => {
  app = await startApp({ OUTBOUND_ALLOW: '127.0.0.1', RUN_LEASE_SECONDS: '600' })
})
afterAll(async () => {
  await app.close()
  await tool.stop(true)
})

test('a process that stops finishes the step in hand, and another one goes on behind it: within a nested agent, without doing anything twice', async () => {
  const define = async (body: object) =>
    (await app.ada.call('POST', '/api/v1/agents/', { client_id: app.ada.clientId, config: {}, ...body })).body.id as string
  const http_tools = [{ name: 'book', method: 'POST', endpoint: `http://127.0.0.1:${tool.port}/book`, description: 'Books' }]
  const clerk = await define({ name: 'clerk', type: 'llm', model: 'demo/echo', config: { custom_tools: { http_tools } } })
  const pair = await define({ name: 'pair', type: 'parallel', config: { sub_agents: [clerk, clerk] } })
  const { body: run } = await app.ada.call('POST', `/api/v1/agents/${pair}/runs`, { message: '/tool book {}', mode: 'background' })
  await until(() => calls === 2)
  // Long before the lease runs out.
  const stopping = app.services.runner.stop(3000)
  const other = createServices(app.config, { log: silentLog, owner: `other-${crypto.randomUUID().slice(0, 8)}`, recoverEveryMs: 100 })
  const read = async () => (await app.ada.call('GET', `/api/v1/runs/${run.id}`)).body
  await until(async () => (await read()).status === 'succeeded')
  await stopping
  expect(calls).toBe(2)
  const { steps } = await read()
  expect(steps.map(({ key, state }: { key: string; state: string }) => `${key} ${state}`).toSorted()).toEqual(
    ['0/model:1', '0/model:2', '0/tool:1:0:book', '1/model:1', '1/model:2', '1/tool:1:0:book'].map((key) => `${key} done`),
  )
  expect((await storedLog(app.services, run.id)).filter(({ type }) => type === 'run-resumed')).toHaveLength(1)
  await other.runner.stop(0)
  await other.close()
}, 30_000)

test('what was shown of a run that is handed over stands in PostgreSQL, whatever becomes of Redis', async () => {
  const own = await startApp({ RUN_LEASE_SECONDS: '600' })
  try {
    const { ada, services } = own
    const definition = { client_id: ada.clientId, name: 'slow', type: 'llm', model: 'demo/echo', config: {} }
    const agent = await ada.call('POST', '/api/v1/agents/', definition)
    const words = Array.from({ length: 500 }, (_, index) => `word${index}`).join(' ')
    const { body: run } = await ada.call('POST', `/api/v1/agents/${agent.body.id}/runs`, {
      message: `/slow 20\n${words}`,
      mode: 'background',
    })
    const { redis } = services.stores
    const shown = async () => {
      const [newest] = await redis.run((client) => client.xrevrange(logKey(redis, run.id), '+', '-', 'COUNT', 1))
      return Number.parseInt(newest?.[0] ?? '0', 10)
    }
    await until(async () => (await shown()) > 5)
    await services.runner.stop(0)
    const [stored] = await services.db.execute<{ last: number }>(
      `select max(last_seq)::int as last from run_events where run_id = '${run.id}'`,
    )
    expect(stored?.last).toBe(await shown())
  } finally {
    await own.close()
  }
}, 30_000)

/** A run in the middle of its text whose process is dead for the others, and the only one that can take it over, which does not reach Redis yet. */
async function cutOff(words: string, env: Record<string, string> = {}) {
  const stack = new AsyncDisposableStack()
  const own = await startApp({ RUN_LEASE_SECONDS: '600', ...env })
  stack.defer(() => own.close())
  const { ada, services } = own
  const url = new URL(stores.redisUrl)
  const proxy = await TcpProxy.start({ host: url.hostname, port: Number(url.port) })
  await proxy.refuse()
  stack.defer(() => proxy.refuse())
  url.port = String(proxy.port)
  const definition = { client_id: ada.clientId, name: 'slow', type: 'llm', model: 'demo/echo', config: {} }
  const agent = await ada.call('POST', '/api/v1/agents/', definition)
  const answer = ada.call('POST', `/api/v1/chat/${agent.body.id}/someone`, { message: `/slow 20\n${words}` })
  const readRun = async () => (await ada.call('GET', '/api/v1/runs')).body[0]
  await until(async () => (await readRun()) !== undefined)
  const { id } = await readRun()
  const { redis } = services.stores
  const shown = async (): Promise<LogEvent[]> => {
    const rows = await redis.run((client) => client.xrange(logKey(redis, id), '-', '+'))
    return rows.map(([, fields]) => JSON.parse(fields[1] ?? 'null'))
  }
  const stored = () => storedLog(services, id)
  await until(async () => (await shown()).length > 10 && (await stored()).length > 1)
  const other = createServices(
    { ...own.config, redis: { ...own.config.redis, url: url.href } },
    { log: silentLog, owner: `other-${crypto.randomUUID().slice(0, 8)}`, recoverEveryMs: 50 },
  )
  stack.defer(async () => {
    await other.runner.stop(0)
    await other.close()
  })
  await services.db.execute(`update runs set lease_until = now() where id = '${id}'`)
  // It finds out when it stores what it has shown.
  await until(async () => own.logged().includes('run taken over'))
  const forget = () => redis.run((client) => client.del(logKey(redis, id)))
  /** As before the first piece of the answer was stored. */
  const unstore = () =>
    services.db.execute(`with young as (delete from run_events where run_id = '${id}' and first_seq > 1)
      update run_events set last_seq = 1, events = jsonb_build_array(events -> 0) where run_id = '${id}' and first_seq = 1`)
  return { proxy, answer, readRun, shown, stored, forget, unstore, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

const WORDS = Array.from({ length: 200 }, (_, index) => `word${index}`).join(' ')

test('a run whose process was killed goes on behind what it showed last, also where Redis is back seconds later only', async () => {
  await using run = await cutOff(WORDS)
  const before = await run.shown()
  expect(before.length).toBeGreaterThan((await run.stored()).length)
  await Bun.sleep(3000)
  await run.proxy.listen()
  expect((await run.answer).body).toMatchObject({ response: `Echo: ${WORDS}` })
  const log = await run.stored()
  expect(log.slice(0, before.length)).toEqual(before)
  expect(log.map(({ seq }) => seq)).toEqual(log.map((_, index) => index + 1))
  const pieces = log.filter(({ type }) => type === 'text-delta').map(({ data }) => data.text)
  expect(pieces.join('')).toBe(`Echo: ${WORDS}`)
}, 40_000)

test('it does not wait for Redis past its deadline, and who has seen more than is stored hears of its end', async () => {
  await using run = await cutOff(WORDS, { RUN_TIMEOUT_SECONDS: '3' })
  const before = await run.shown()
  await until(async () => (await run.readRun()).status !== 'running')
  expect(await run.readRun()).toMatchObject({ status: 'failed', error: { problem: 'upstream-timeout' } })
  expect((await run.stored()).at(-1)?.seq).toBeGreaterThan(before.at(-1)?.seq ?? 0)
  expect((await run.answer).status).toBe(504)
}, 40_000)

test.each([
  ['much', false],
  ['only the beginning', true],
])(
  'where Redis has lost what was shown last, and %s was stored, what comes now has numbers that nobody has seen',
  async (_, isYoung) => {
    await using run = await cutOff(WORDS)
    const before = await run.shown()
    if (isYoung) await run.unstore()
    const kept = (await run.stored()).length
    await run.forget()
    await run.proxy.listen()
    expect((await run.answer).body).toMatchObject({ response: `Echo: ${WORDS}` })
    const log = await run.stored()
    const added = log.slice(kept).map(({ seq }) => seq)
    expect(added[0]).toBeGreaterThan(before.at(-1)?.seq ?? 0)
    expect(added).toEqual(added.map((_, index) => (added[0] ?? 0) + index))
  },
  40_000,
)

test.each([
  ['whose last entry was stored as its process died', 'cut-off', -1],
  ['whose log had left Redis while it waited', 'whole', -Infinity],
] as const)('a run %s goes on behind a log without gaps, which whoever takes it over next finds', async (_, past, kept) => {
  const own = await startApp()
  const { db, clock, stores } = own.services
  const { body: agent } = await own.ada.call('POST', '/api/v1/agents/', {
    client_id: own.ada.clientId,
    name: 'echo',
    type: 'llm',
    model: 'demo/echo',
    config: {},
  })
  const { body: run } = await own.ada.call('POST', `/api/v1/agents/${agent.id}/runs`, { message: 'one two three' })
  const entries = await storedLog(own.services, run.id)
  const lastStored = entries.length
  const live = createLiveLog({ redis: stores.redis, log: silentLog })
  const take = (leaseToken: number, how: OwnedRun['past']) =>
    inheritLog({ db, live, clock, log: silentLog }, { id: run.id, leaseToken, past: how } as OwnedRun, new AbortController().signal)
  await stores.redis.run((client) => client.del(logKey(stores.redis, run.id)))
  if (kept === -1) await live.append({ id: run.id, leaseToken: 100 }, entries.slice(0, -1))
  expect((await take(101, past)).lastSeq).toBe(lastStored)
  await live.append({ id: run.id, leaseToken: 101 }, [{ seq: lastStored + 1, type: 'run-resumed', data: {} }])
  expect((await take(102, 'cut-off')).lastSeq).toBe(lastStored + 1)
  live.close()
  await own.close()
})

test('a run that is cancelled while it has no process is not gone on with: who takes it over ends it', async () => {
  await using stack = new AsyncDisposableStack()
  const own = await startApp({ RUN_LEASE_SECONDS: '600' })
  stack.defer(() => own.close())
  const { ada, services } = own
  const definition = { client_id: ada.clientId, name: 'slow', type: 'llm', model: 'demo/echo', config: {} }
  const { body: agent } = await ada.call('POST', '/api/v1/agents/', definition)
  const { body: run } = await ada.call('POST', `/api/v1/agents/${agent.id}/runs`, { message: `/slow 20\n${WORDS}`, mode: 'background' })
  await until(async () => (await storedLog(services, run.id)).length > 1)
  // Its process is dead for the others, and was when somebody cancelled it.
  await services.db.execute(`update runs set lease_until = now(), cancel_requested_at = now() where id = '${run.id}'`)
  const other = createServices(own.config, { log: silentLog, owner: `other-${crypto.randomUUID().slice(0, 8)}`, recoverEveryMs: 50 })
  stack.defer(async () => {
    await other.runner.stop(0)
    await other.close()
  })
  await until(async () => (await ada.call('GET', `/api/v1/runs/${run.id}`)).body.status === 'cancelled')
  const log = await storedLog(services, run.id)
  expect(log.at(-1)?.type).toBe('run-cancelled')
  expect(log.filter(({ type }) => type === 'run-resumed')).toBeEmpty()
}, 30_000)

/** Begins a run of an agent of its own, which calls the tool once. */
async function booking({ call, clientId }: Person, more: object = {}): Promise<{ id: string }> {
  const http_tools = [{ name: 'book', method: 'POST', endpoint: `http://127.0.0.1:${tool.port}/book`, ...more }]
  const agent = { client_id: clientId, name: 'clerk', type: 'llm', model: 'demo/echo', config: { custom_tools: { http_tools } } }
  const { id } = (await call('POST', '/api/v1/agents/', agent)).body
  return (await call('POST', `/api/v1/agents/${id}/runs`, { message: '/tool book {}', mode: 'background' })).body
}

test.each(['waiting', 'needs_reconcile'])(
  'a run that is %s ends also where who cancels it dies before they have ended it',
  async (status) => {
    await using stack = new AsyncDisposableStack()
    const own = await startApp({ OUTBOUND_ALLOW: '127.0.0.1' })
    stack.defer(() => own.close())
    const { ada, services } = own
    const run = await booking(ada, { require_approval: true })
    const read = async () => (await ada.call('GET', `/api/v1/runs/${run.id}`)).body
    await until(async () => (await read()).status === 'waiting')
    await services.db.execute(`update runs set status = '${status}', wake_at = null where id = '${run.id}'`)
    await requestCancel(services.db, { clientId: null, agentId: null }, run.id)
    await until(async () => (await read()).finished_at !== null, 15_000)
    expect(await read()).toMatchObject({ status: 'cancelled', waiting_for: null, wake_at: null })
    expect((await storedLog(services, run.id)).at(-1)?.type).toBe('run-cancelled')
  },
  30_000,
)

test('of two decisions about a step that come at the same moment one counts, and the other is told that it is too late', async () => {
  await using stack = new AsyncDisposableStack()
  const own = await startApp({ OUTBOUND_ALLOW: '127.0.0.1', RUN_LEASE_SECONDS: '600' })
  stack.defer(() => own.close())
  const { ada, services } = own
  const before = calls
  const run = await booking(ada)
  await until(() => calls === before + 1)
  await services.db.execute(`update runs set lease_until = now() where id = '${run.id}'`)
  const other = createServices(own.config, { log: silentLog, owner: `other-${crypto.randomUUID().slice(0, 8)}`, recoverEveryMs: 50 })
  stack.defer(async () => {
    await other.runner.stop(0)
    await other.close()
  })
  const read = async () => (await ada.call('GET', `/api/v1/runs/${run.id}`)).body
  await until(async () => (await read()).status === 'needs_reconcile')
  const decide = (body: object) => ada.call('POST', `/api/v1/runs/${run.id}/reconcile`, { step: 'tool:1:0:book', ...body })
  const decisions = await Promise.all([decide({ decision: 'retry' }), decide({ decision: 'done', result: 'by hand' })])
  expect(decisions.map(({ status }) => status).toSorted()).toEqual([200, 409])
  await until(async () => (await read()).status === 'succeeded')
}, 30_000)
