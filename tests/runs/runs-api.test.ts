import { afterAll, beforeAll, expect, test } from 'bun:test'
import { openChat } from '../support/chat-socket'
import { readEvents } from '../support/events'
import { startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

let app: TestApp
let calls: { url: string; body: unknown }[] = []
const tool = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  async fetch(request) {
    calls.push({ url: new URL(request.url).pathname, body: await request.json().catch(() => null) })
    return Response.json({ booked: true })
  },
})
beforeAll(async () => {
  app = await startApp({ OUTBOUND_ALLOW: '127.0.0.1', RUNS_PER_CLIENT: '6' })
})
afterAll(async () => {
  await app.close()
  await tool.stop(true)
})

const agentOf = async (more: object = {}): Promise<string> =>
  (
    await app.ada.call('POST', '/api/v1/agents/', {
      client_id: app.ada.clientId,
      name: 'echo',
      type: 'llm',
      model: 'demo/echo',
      config: {},
      ...more,
    })
  ).body.id
const begin = (id: string, body: object, headers = {}) =>
  app.ada.call('POST', `/api/v1/agents/${id}/runs`, { message: 'hi', ...body }, headers)
const runOf = async (id: string) => (await app.ada.call('GET', `/api/v1/runs/${id}`)).body
const ended = async (id: string) => {
  await until(async () => (await runOf(id)).finished_at !== null)
  return runOf(id)
}

test('an external id that none can have is refused where it was sent', async () => {
  const id = await agentOf()
  for (const external_id of ['', 'a b', 'x'.repeat(129)])
    expect(await begin(id, { external_id })).toMatchObject({
      status: 422,
      body: { errors: [{ pointer: '/external_id', code: 'invalid' }] },
    })
})

test('a run is waited for, watched, or left to the background', async () => {
  const id = await agentOf()
  const waited = await begin(id, { message: 'one' })
  expect(waited).toMatchObject({ status: 200, body: { status: 'succeeded', result: { response: 'Echo: one' }, agent_id: id } })
  expect(waited.body.usage).toMatchObject({ output_tokens: 2, cost_usd: 0 })
  expect(waited.body.steps).toMatchObject([{ key: 'model:1', model: 'demo/echo', usage: { output_tokens: 2 } }])
  expect(waited.headers.get('location')).toBe(`/api/v1/runs/${waited.body.id}`)

  const response = await fetch(`${app.url}/api/v1/agents/${id}/runs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${app.ada.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ message: 'two', mode: 'stream' }),
  })
  expect((await readEvents(response)).at(-1)).toMatchObject({ type: 'run-finished', data: { response: 'Echo: two' } })

  const left = await begin(id, { message: 'three', mode: 'background', external_id: 'later' })
  expect(left).toMatchObject({ status: 202, body: { session_id: `later_${id}` } })
  expect((await ended(left.body.id)).result).toEqual({ response: 'Echo: three' })
})

test('a run that fails is a request that fails; the same key starts one run', async () => {
  const id = await agentOf()
  expect(await begin(id, { message: '/fail' })).toMatchObject({ status: 502 })
  const key = { 'idempotency-key': crypto.randomUUID() }
  const [first, second] = await Promise.all([begin(id, {}, key), begin(id, {}, key)])
  expect(first?.body.id).toBe(second?.body.id)
  expect((await begin(id, { message: 'other' }, key)).status).toBe(422)
})

test('runs are listed newest first, by agent, session and status, page by page', async () => {
  const id = await agentOf()
  for (const message of ['1', '2', '3']) await begin(id, { message, external_id: 'lister' })
  await begin(id, { message: '/fail' })
  const list = async (query: string) => (await app.ada.call('GET', `/api/v1/runs/?agent_id=${id}&${query}`)).body
  expect((await list('status=succeeded')).map(({ result }: { result: { response: string } }) => result.response)).toEqual([
    'Echo: 3',
    'Echo: 2',
    'Echo: 1',
  ])
  expect(await list('status=failed')).toMatchObject([{ error: { problem: 'upstream-error' } }])
  expect(await list(`session_id=lister_${id}`)).toHaveLength(3)
  const seen: string[] = []
  let path: string | undefined = `/api/v1/runs/?agent_id=${id}&limit=3`
  while (path !== undefined) {
    const page = await app.ada.call('GET', path)
    expect(page.headers.get('x-total-count')).toBe('4')
    seen.push(...page.body.map((run: { id: string }) => run.id))
    path = /<([^>]+)>; rel="next"/.exec(page.headers.get('link') ?? '')?.[1]
  }
  expect(new Set(seen).size).toBe(4)
  expect((await app.bob.call('GET', `/api/v1/runs/?agent_id=${id}`)).body).toEqual([])
  expect((await app.bob.call('POST', `/api/v1/agents/${id}/runs`, { message: 'hi' })).status).toBe(404)
})

test('a busy session takes the next run in turn, refuses it, or gives up the one it has', async () => {
  const id = await agentOf()
  const slow = await begin(id, { message: `/slow 200\n${'word '.repeat(50)}`, external_id: 'busy', mode: 'background' })
  await until(async () => (await runOf(slow.body.id)).status === 'running')
  expect((await begin(id, { external_id: 'busy', on_busy: 'reject' })).status).toBe(409)
  const queued = begin(id, { message: 'queued', external_id: 'busy' })
  await until(async () => (await app.ada.call('GET', `/api/v1/runs/?agent_id=${id}&status=queued`)).body.length === 1)
  const next = await begin(id, { message: 'now', external_id: 'busy', on_busy: 'interrupt' })
  expect(next.body.result).toEqual({ response: 'Echo: now' })
  expect((await queued).body.status).toBe('cancelled')
  expect((await runOf(slow.body.id)).status).toBe('cancelled')
})

test('a run behind one that waits for consent says so, and has its whole time when its turn comes', async () => {
  const id = await booker()
  const first = await begin(id, { message: '/tool book {"seats": 2}', external_id: 'behind' })
  expect(first.body.status).toBe('waiting')
  const second = await begin(id, { message: 'and me?', external_id: 'behind', timeout_seconds: 1 })
  expect(second).toMatchObject({ status: 202, body: { status: 'queued' } })
  const chat = await app.ada.call('POST', `/api/v1/chat/${id}/behind`, { message: 'hello?' })
  expect(chat).toMatchObject({ status: 409, body: { detail: expect.stringContaining(first.body.id) } })
  const stream = await fetch(`${app.url}/api/v1/runs/${second.body.id}/events`, { headers: { authorization: `Bearer ${app.ada.token}` } })
  const [told] = await readEvents(stream, () => true)
  expect(told).toMatchObject({ type: 'run-waiting', data: { reason: 'earlier-run', earlier_run_id: first.body.id } })
  expect(told?.id).toBeNaN()
  // As if it had waited for longer than it may run.
  const sent = (id: string, ago: string, also = '') =>
    app.services.db.execute(`update runs set created_at = created_at - interval '${ago}'${also} where id = '${id}'`)
  await sent(first.body.id, '2 hours')
  await sent(second.body.id, '1 hour', ", deadline_at = deadline_at - interval '1 hour'")
  const [wanted] = await pendingOf(first.body.id)
  await app.ada.call('POST', `/api/v1/approvals/${wanted.id}/decision`, { decision: 'reject' })
  expect(await ended(second.body.id)).toMatchObject({ status: 'succeeded', result: { response: 'Echo: and me?' } })
  await until(async () => (await app.ada.call('GET', `/api/v1/runs/?session_id=behind_${id}&status=succeeded`)).body.length === 3)
})

test('over a socket too: who writes behind a turn that waits for consent is told again, and a fresh token is taken meanwhile', async () => {
  const id = await booker()
  const authorization = { type: 'authorization', token: app.ada.token }
  for (const deltas of [false, true]) {
    const chat = await openChat(`${app.url}/api/v1/chat/ws/${id}/socket-${deltas}?deltas=${deltas}`, authorization)
    const waits = (frame: object) => /run-waiting|waits for a decision/.test(JSON.stringify(frame))
    chat.send({ message: '/tool book {"seats": 2}' })
    await chat.until(waits)
    const before = chat.frames.length
    chat.send({ message: 'and me?' })
    await chat.until(waits, before)
    chat.send({ ...authorization, token: 'a.b.c' })
    expect(JSON.stringify(await chat.until((frame) => !waits(frame) && frame.turn_complete !== true, before))).toContain('invalid-token')
    expect(await chat.closed).toMatchObject({ code: 1008 })
    const again = await openChat(`${app.url}/api/v1/chat/ws/${id}/socket-${deltas}?deltas=${deltas}`, authorization)
    again.send({ message: 'still me' })
    await again.until(waits)
    const [run] = (await app.ada.call('GET', `/api/v1/runs/?session_id=socket-${deltas}_${id}&status=waiting`)).body
    const [wanted] = await pendingOf(run.id)
    await app.ada.call('POST', `/api/v1/approvals/${wanted.id}/decision`, { decision: 'reject' })
    await again.until((frame) => JSON.stringify(frame).includes('Echo: still me'))
    again.socket.close()
  }
})

test('a run that has begun goes on before one that has not, whichever was sent first', async () => {
  const id = await booker()
  const first = await begin(id, { message: '/tool book {"seats": 2}', external_id: 'raced' })
  const second = await begin(id, { message: 'and me?', external_id: 'raced' })
  // As where the second request began its transaction first and came to the session's lock last.
  await app.services.db.execute(`update runs set created_at = created_at - interval '1 minute' where id = '${second.body.id}'`)
  const [wanted] = await pendingOf(first.body.id)
  await app.ada.call('POST', `/api/v1/approvals/${wanted.id}/decision`, { decision: 'reject' })
  expect((await ended(first.body.id)).status).toBe('succeeded')
  expect((await ended(second.body.id)).status).toBe('succeeded')
})

test('COST-02: one run too many of a client is refused, other clients are not concerned', async () => {
  const id = await agentOf()
  const six = await Promise.all(
    Array.from({ length: 6 }, (_, index) =>
      begin(id, { message: `/slow 300\n${'w '.repeat(20)}`, external_id: `c${index}`, mode: 'background' }),
    ),
  )
  const refused = await begin(id, { external_id: 'c7' })
  expect(refused.status).toBe(429)
  expect(refused.headers.get('retry-after')).not.toBeNull()
  await Promise.all(six.map(({ body }) => app.ada.call('POST', `/api/v1/runs/${body.id}/cancel`)))
  await Promise.all(six.map(({ body }) => ended(body.id)))
})

test('COST-03: a run that has used its time is stopped within two seconds, and keeps its history', async () => {
  const id = await agentOf()
  const begun = performance.now()
  const late = await begin(id, { message: `/slow 500\n${'word '.repeat(20)}`, external_id: 'late', timeout_seconds: 1 })
  expect(late.status).toBe(504)
  expect(performance.now() - begun).toBeLessThan(5000)
  const [run] = (await app.ada.call('GET', `/api/v1/runs/?session_id=late_${id}`)).body
  expect(run).toMatchObject({ status: 'failed', error: { problem: 'upstream-timeout' } })
  expect((await app.ada.call('GET', `/api/v1/sessions/late_${id}/messages`)).body).toHaveLength(1)
})

test("an agent's own time bounds its runs, whichever way they came in", async () => {
  const id = await agentOf({ config: { run_timeout_seconds: 1 } })
  const message = `/slow 500\n${'word '.repeat(20)}`
  const chat = (externalId: string, headers = {}) => app.ada.call('POST', `/api/v1/chat/${id}/${externalId}`, { message }, headers)
  const ways = await Promise.all([
    begin(id, { message }),
    chat('at-once'),
    chat('by-key', { 'idempotency-key': 'own-time' }),
    begin(id, { message: '/slow 500\none two three', timeout_seconds: 60 }),
  ])
  expect(ways.map(({ status }) => status)).toEqual([504, 504, 504, 200])
})

const booker = () =>
  agentOf({
    config: {
      custom_tools: {
        http_tools: [
          {
            name: 'book',
            method: 'POST',
            endpoint: `http://127.0.0.1:${tool.port}/book`,
            description: 'Books seats',
            parameters: { body_params: { seats: { type: 'integer', required: true, description: 'How many' } } },
            require_approval: true,
          },
        ],
      },
    },
  })
const pendingOf = async (runId: string) => (await app.ada.call('GET', `/api/v1/approvals/?state=pending&run_id=${runId}`)).body

test('a tool that needs consent waits for it, and is called with what was allowed', async () => {
  calls = []
  const id = await booker()
  const { status, body } = await begin(id, { message: '/tool book {"seats": 2}' })
  expect({ status, reason: body.waiting_for }).toMatchObject({ status: 202, reason: { reason: 'approval', tool: 'book' } })
  const [wanted] = await pendingOf(body.id)
  expect(wanted).toMatchObject({ run_id: body.id, tool: 'book', agent: 'echo', arguments: { seats: 2 }, state: 'pending' })
  expect(calls).toEqual([])
  const decide = (decision: object) => app.ada.call('POST', `/api/v1/approvals/${wanted.id}/decision`, decision)
  expect((await decide({ decision: 'reject', arguments: {} })).status).toBe(422)
  expect((await app.bob.call('POST', `/api/v1/approvals/${wanted.id}/decision`, { decision: 'approve' })).status).toBe(404)
  expect(await decide({ decision: 'approve', arguments: { seats: 3 } })).toMatchObject({
    status: 200,
    body: { state: 'approved', edited_arguments: { seats: 3 } },
  })
  expect((await decide({ decision: 'approve' })).status).toBe(409)
  expect((await ended(body.id)).result.response).toBe('Echo: book returned {"booked":true}')
  expect(calls).toEqual([{ url: '/book', body: { seats: 3 } }])
  const audited = await app.services.db.execute<{ payload: { action: string } }>(
    "select payload from outbox where payload->>'resource_type' = 'approval'",
  )
  expect(audited.map(({ payload }) => payload.action)).toContain('approve')
})

test('a call that was made before the wait counts as made, in whatever order its arguments were given', async () => {
  calls = []
  const endpoint = `http://127.0.0.1:${tool.port}`
  const note = {
    name: 'note',
    method: 'POST',
    endpoint: `${endpoint}/note`,
    parameters: { body_params: { where: { type: 'string' }, at: { type: 'integer' } } },
  }
  const book = { name: 'book', method: 'POST', endpoint: `${endpoint}/book`, require_approval: true }
  const id = await agentOf({ config: { custom_tools: { http_tools: [note, book] } } })
  const { body } = await begin(id, { message: '/tool note {"where": "there", "at": 7}\n/tool book {}' })
  expect(body.waiting_for).toMatchObject({ reason: 'approval', tool: 'book' })
  expect((await app.ada.call('POST', `/api/v1/runs/${body.id}/approve`, { decision: 'approve' })).status).toBe(200)
  expect(await ended(body.id)).toMatchObject({ status: 'succeeded', error: null })
  expect(calls.map(({ url }) => url)).toEqual(['/note', '/book'])
})

test('over A2A a task that waits for consent says so, and once that was given it is followed to its end', async () => {
  const id = await booker()
  const rpc = (method: string, params: object) => app.ada.call('POST', `/api/v1/a2a/${id}`, { jsonrpc: '2.0', id: 1, method, params })
  const message = { role: 'user', messageId: crypto.randomUUID(), parts: [{ type: 'text', text: '/tool book {"seats": 2}' }] }
  const { id: taskId, status } = (await rpc('message/send', { message })).body.result
  expect(status).toMatchObject({ state: 'working', message: { parts: [{ text: 'Waiting: approval.' }] } })
  await app.ada.call('POST', `/api/v1/runs/${taskId}/approve`, { decision: 'approve' })
  await ended(taskId)
  const response = await fetch(`${app.url}/api/v1/a2a/${id}?taskId=${taskId}`, { headers: { authorization: `Bearer ${app.ada.token}` } })
  expect(await response.text()).toMatch(/"state":"completed"[^\n]*"final":true/)
})

test('what is refused, or decided too late, is told to the agent, and not done', async () => {
  calls = []
  const id = await booker()
  const refused = (await begin(id, { message: '/tool book {"seats": 2}' })).body
  const [wanted] = await pendingOf(refused.id)
  const route = `/api/v1/runs/${refused.id}/approve`
  expect((await app.ada.call('POST', route, { decision: 'reject', reason: 'too dear' })).body).toMatchObject({
    id: wanted.id,
    state: 'rejected',
  })
  expect((await ended(refused.id)).result.response).toContain('too dear')
  const late = (await begin(id, { message: '/tool book {"seats": 2}' })).body
  const [missed] = await pendingOf(late.id)
  await app.services.db.execute(`update approvals set expires_at = now() where run_id = '${late.id}'`)
  expect((await app.ada.call('POST', `/api/v1/approvals/${missed.id}/decision`, { decision: 'approve' })).status).toBe(409)
  await app.services.db.execute(`update runs set wake_at = now() where id = '${late.id}'`)
  expect((await ended(late.id)).result.response).toContain('in time')
  expect((await app.ada.call('GET', `/api/v1/approvals/?run_id=${late.id}`)).body).toMatchObject([{ state: 'expired' }])
  expect(calls).toEqual([])
})

test('a run whose database is away in the moment in which it asks for consent asks again', async () => {
  const { db } = app.services
  await db.execute('create sequence hiccups')
  await db.execute(`create function hiccup() returns trigger language plpgsql security definer as $$ begin
    if nextval('hiccups') <= 4 then raise exception 'going down' using errcode = '57P01'; end if; return new; end $$`)
  await db.execute('create trigger hiccup before insert on approvals for each row execute function hiccup()')
  try {
    const { body } = await begin(await booker(), { message: '/tool book {"seats": 2}' })
    expect(body).toMatchObject({ status: 'waiting', waiting_for: { reason: 'approval' } })
    await app.ada.call('POST', `/api/v1/runs/${body.id}/cancel`)
  } finally {
    await db.execute('drop trigger hiccup on approvals')
    await db.execute('drop function hiccup')
    await db.execute('drop sequence hiccups')
  }
})

test('a run that waits can be cancelled, and the session goes on', async () => {
  const id = await booker()
  const { body } = await begin(id, { message: '/tool book {"seats": 2}', external_id: 'waiter' })
  expect((await app.ada.call('POST', `/api/v1/runs/${body.id}/cancel`)).body.status).toBe('cancelled')
  expect((await begin(id, { message: 'next', external_id: 'waiter' })).body.result).toEqual({ response: 'Echo: next' })
})

test('a run that is cancelled in the moment in which it is put aside ends all the same', async () => {
  const id = await booker()
  const { redis } = app.services.stores
  const { run } = redis
  const statusOf = async () =>
    (await app.services.db.execute<{ status: string }>("select status from runs where session_id like 'aside\\_%'"))[0]?.status
  // Redis answers late from the moment that the pause is committed, so its process is not done with the run.
  let isHeld = true
  redis.run = async (commands) => {
    const answer = await run(commands)
    while (isHeld && (await statusOf()) === 'waiting') await Bun.sleep(5)
    return answer
  }
  try {
    const { body } = await begin(id, { message: '/tool book {"seats": 2}', external_id: 'aside', mode: 'background' })
    await until(async () => (await statusOf()) === 'waiting')
    await app.services.runner.cancel(body.id)
    isHeld = false
    await until(async () => (await statusOf()) === 'cancelled')
  } finally {
    isHeld = false
    redis.run = run
  }
})
