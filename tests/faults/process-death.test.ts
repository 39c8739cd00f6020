import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { startServer } from '../start/running-server'
import { readEvents, type StreamedEvent, shownText } from '../support/events'
import { fetchAgain, signUp } from '../support/newcomer'
import { services } from '../support/services'

const dataDir = mkdtempSync(join(tmpdir(), 'evo-death-'))
const server = startServer({
  EVO_DATA_DIR: dataDir,
  DATABASE_URL: services.databaseUrl,
  REDIS_URL: services.redisUrl,
  REDIS_KEY_PREFIX: `death-${crypto.randomUUID()}:`,
  EVO_API_PROCESSES: '2',
  BCRYPT_COST: '4',
  EMAIL_PROVIDER: 'mailbox',
  RUN_LEASE_SECONDS: '4',
  OUTBOUND_ALLOW: '127.0.0.1',
})
const sql = postgres(services.databaseUrl, { max: 1, prepare: false })
let newcomer: Awaited<ReturnType<typeof signUp>>

beforeAll(async () => {
  await server.ready()
  newcomer = await signUp(server.url(), `${crypto.randomUUID()}@example.com`)
}, 60_000)
afterAll(async () => {
  await sql.end()
  server.kill('SIGTERM')
  await server.exited()
  rmSync(dataDir, { recursive: true, force: true })
})

const WORDS = Array.from({ length: 30 }, (_, index) => `word${index}`).join(' ')

/** Streams until the client has seen it all, coming back with Last-Event-ID whenever the connection breaks. */
async function streamThrough(
  agentId: string,
  session: string,
  onPiece: (events: StreamedEvent[]) => Promise<void>,
): Promise<StreamedEvent[]> {
  const post = fetchAgain(`${server.url()}/api/v1/chat/${agentId}/${session}?stream=true`, {
    method: 'POST',
    headers: { ...newcomer.headers, 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() },
    body: JSON.stringify({ message: `/slow 100\n${WORDS}` }),
  })
  const events: StreamedEvent[] = []
  let disturbed: Promise<void> | undefined
  const seen = (event: StreamedEvent) => {
    // Says why the stream ends, and is no part of the log.
    if (event.type === 'error') return false
    events.push(event)
    if (events.length === 8) disturbed = onPiece(events)
    return false
  }
  await readEvents(await post, seen)
  const deadline = Date.now() + 30_000
  while (!events.at(-1)?.type.match(/run-(finished|failed|cancelled)/) && Date.now() < deadline) {
    const response = await fetch(`${server.url()}/api/v1/runs/${events[0]?.data.run_id}/events`, {
      headers: { ...newcomer.headers, 'last-event-id': String(events.at(-1)?.id ?? 0) },
    }).catch(() => undefined)
    if (response?.ok) await readEvents(response, seen)
    else await Bun.sleep(100)
  }
  await disturbed
  return events
}

const ownerOf = async (runId: string) => String((await sql`select lease_owner from runs where id = ${runId}`)[0]?.lease_owner)

/** What stays of a run's log once Redis has forgotten it. */
async function storedSeqs(runId: string): Promise<number[]> {
  const chunks = await sql<{ events: { seq: number }[] }[]>`select events from run_events where run_id = ${runId} order by first_seq`
  return chunks.flatMap(({ events }) => events.map(({ seq }) => seq))
}

test('kill -9 in the middle of a stream: the run ends on another process, and the client that comes back has every event exactly once', async () => {
  const agentId = await newcomer.createAgent()
  let before = ''
  const events = await streamThrough(agentId, 'user-1', async ([started]) => {
    before = await ownerOf(started?.data.run_id)
    const [pid] = server.pidsOf(before)
    if (pid === undefined) throw new Error(`no process ${before}`)
    process.kill(pid, 'SIGKILL')
  })
  expect(before).toStartWith('api-')
  expect(events.map(({ id }) => id)).toEqual(events.map((_, index) => index + 1))
  expect(events.filter(({ type }) => type === 'run-resumed')).toHaveLength(1)
  expect(shownText(events)).toBe(`Echo: ${WORDS}`)
  expect(events.filter(({ type }) => type === 'message')).toHaveLength(1)
  expect(events.at(-1)).toMatchObject({ type: 'run-finished', data: { response: `Echo: ${WORDS}` } })
  const runId = events[0]?.data.run_id
  const whole = await readEvents(await fetchAgain(`${server.url()}/api/v1/runs/${runId}/events`, { headers: newcomer.headers }))
  expect(whole).toEqual(events)
}, 60_000)

test('five runs at once survive the death of their process', async () => {
  const agentId = await newcomer.createAgent()
  const killed = new Set<string>()
  const all = await Promise.all(
    Array.from({ length: 5 }, (_, index) =>
      streamThrough(agentId, `crowd-${index}`, async ([started]) => {
        const owner = await ownerOf(started?.data.run_id)
        if (killed.size > 0) return
        killed.add(owner)
        for (const pid of server.pidsOf(owner)) process.kill(pid, 'SIGKILL')
      }),
    ),
  )
  for (const events of all) {
    expect(events.map(({ id }) => id)).toEqual(events.map((_, index) => index + 1))
    expect(shownText(events)).toBe(`Echo: ${WORDS}`)
    expect(await storedSeqs(events[0]?.data.run_id)).toEqual(events.map(({ id }) => id))
    expect(events.at(-1)?.type).toBe('run-finished')
  }
  expect(killed.size).toBe(1)
}, 90_000)

test('a run in hand is handed over when its process is asked to stop', async () => {
  const agentId = await newcomer.createAgent()
  const events = await streamThrough(agentId, 'user-3', async ([started]) => {
    const [pid] = server.pidsOf(await ownerOf(started?.data.run_id))
    process.kill(pid as number, 'SIGTERM')
  })
  expect(events.map(({ id }) => id)).toEqual(events.map((_, index) => index + 1))
  expect(shownText(events)).toBe(`Echo: ${WORDS}`)
  expect(events.at(-1)?.type).toBe('run-finished')
}, 60_000)

/** An agent whose one tool calls a server of ours; the first call of each method hangs, for the process to die in it. */
async function agentWithTool(method: 'GET' | 'POST') {
  const calls: string[] = []
  const tool = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      calls.push(request.headers.get('idempotency-key') ?? '')
      if (calls.length === 1) await Bun.sleep(60_000)
      return Response.json({ booked: true })
    },
  })
  const http_tools = [
    { name: 'book', method, endpoint: `http://127.0.0.1:${tool.port}/book`, description: 'Books a table', error_handling: { timeout: 30 } },
  ]
  const agentId = await newcomer.createAgent({ config: { custom_tools: { http_tools } } })
  return { agentId, calls, stop: () => tool.stop(true) }
}

const getRun = async (runId: string) =>
  (await (await fetchAgain(`${server.url()}/api/v1/runs/${runId}`, { headers: newcomer.headers })).json()) as {
    status: string
    steps: { key: string; state: string }[]
  }

async function untilRun(runId: string, reached: (status: string) => boolean) {
  const deadline = Date.now() + 30_000
  for (;;) {
    const run = await getRun(runId).catch(() => undefined)
    if (run !== undefined && reached(run.status)) return run
    if (Date.now() > deadline) throw new Error(`run ${runId} is still ${run?.status}`)
    await Bun.sleep(100)
  }
}

/** Starts a run in the background of this test and kills its process as soon as the tool has been called. */
async function dieInTool(agentId: string, calls: string[], session: string): Promise<string> {
  const stream = await fetchAgain(`${server.url()}/api/v1/chat/${agentId}/${session}?stream=true`, {
    method: 'POST',
    headers: { ...newcomer.headers, 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() },
    body: JSON.stringify({ message: '/tool book {}' }),
  })
  const [started] = await readEvents(stream, ({ type }) => type === 'run-started')
  const runId = String(started?.data.run_id)
  while (calls.length === 0) await Bun.sleep(20)
  for (const pid of server.pidsOf(await ownerOf(runId))) process.kill(pid, 'SIGKILL')
  return runId
}

test('a tool that changes the world is not called again after a crash: the run waits for somebody who knows', async () => {
  const { agentId, calls, stop } = await agentWithTool('POST')
  const runId = await dieInTool(agentId, calls, 'user-4')
  const waiting = await untilRun(runId, (status) => status === 'needs_reconcile')
  const open = waiting.steps.find(({ state }) => state === 'open')
  expect(open?.key).toBe('tool:1:0:book')
  const decide = (body: object) =>
    fetchAgain(`${server.url()}/api/v1/runs/${runId}/reconcile`, {
      method: 'POST',
      headers: { ...newcomer.headers, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  expect((await decide({ step: 'tool:9:9:none', decision: 'done' })).status).toBe(422)
  expect((await decide({ step: open?.key, decision: 'done', result: { booked: 'by hand' } })).status).toBe(200)
  expect((await untilRun(runId, (status) => status === 'succeeded')).status).toBe('succeeded')
  expect((await decide({ step: open?.key, decision: 'done' })).status).toBe(409)
  const events = await readEvents(await fetchAgain(`${server.url()}/api/v1/runs/${runId}/events`, { headers: newcomer.headers }))
  expect(events.at(-1)?.data.response).toContain('by hand')
  expect(events.map(({ id }) => id)).toEqual(events.map((_, index) => index + 1))
  expect(calls).toHaveLength(1)
  await stop()
}, 60_000)

test('a tool that only reads is called again after a crash', async () => {
  const { agentId, calls, stop } = await agentWithTool('GET')
  const runId = await dieInTool(agentId, calls, 'user-5')
  await untilRun(runId, (status) => status === 'succeeded')
  expect(calls).toHaveLength(2)
  await stop()
}, 60_000)
