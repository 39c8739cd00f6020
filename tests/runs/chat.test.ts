import { afterAll, beforeAll, expect, test } from 'bun:test'
import { isTurnComplete, openChat } from '../support/chat-socket'
import { readEvents, shownText } from '../support/events'
import { type Person, startApp, type TestApp } from '../support/start-app'

let app: TestApp
let tool: ReturnType<typeof Bun.serve>
const toolCalls: { path: string; key: string | null }[] = []
/** How the weather is there is told when this resolves. */
const nowhere = Promise.withResolvers<void>()

beforeAll(async () => {
  tool = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const { pathname } = new URL(request.url)
      toolCalls.push({ path: pathname, key: request.headers.get('idempotency-key') })
      if (pathname.endsWith('/Nowhere')) await nowhere.promise
      return Response.json({ sunny: true, odd: 'nul \u0000 and lone \ud800' })
    },
  })
  app = await startApp({ OUTBOUND_ALLOW: `127.0.0.1:${tool.port}` })
})
afterAll(async () => {
  await app.close()
  await tool.stop(true)
})

const agentOf = async ({ call, clientId }: Person, config: object = {}) => {
  const { body } = await call('POST', '/api/v1/agents/', { client_id: clientId, name: 'echo', type: 'llm', model: 'demo/echo', config })
  return body as { id: string; config: { api_key: string } }
}
const weatherTool = () => ({
  custom_tools: {
    http_tools: [
      {
        name: 'get_weather',
        method: 'GET',
        endpoint: `http://127.0.0.1:${tool.port}/weather/{city}`,
        description: 'The weather of a city',
        headers: {},
        values: {},
        parameters: { path_params: { city: 'The city' }, query_params: {}, body_params: {} },
        error_handling: { timeout: 5, retry_count: 0, fallback_response: {} },
      },
    ],
  },
})
const stream = (person: Person, path: string, body: object, headers: Record<string, string> = {}) =>
  fetch(`${app.url}/api/v1/chat/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${person.token}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })

test('a message is answered, and the session holds both', async () => {
  const { id } = await agentOf(app.ada)
  const answer = await app.ada.call('POST', `/api/v1/chat/${id}/user-1`, { message: 'hello there' })
  expect(answer).toMatchObject({
    status: 200,
    body: { response: 'Echo: hello there', status: 'success', message_history: [{ author: 'echo' }] },
  })
  const messages = await app.ada.call('GET', `/api/v1/sessions/user-1_${id}/messages`)
  expect(
    messages.body.map(
      ({ author, content }: { author: string; content: { parts: { text: string }[] } }) => `${author}: ${content.parts[0]?.text}`,
    ),
  ).toEqual(['user: hello there', 'echo: Echo: hello there'])
  expect((await app.ada.call('GET', `/api/v1/sessions/user-1_${id}`)).body).toMatchObject({
    app_name: id,
    user_id: 'user-1',
    events: [{}, { content: { parts: [{ inlineData: null }] } }],
  })
  expect((await app.ada.call('GET', `/api/v1/sessions/agent/${id}`)).body).toHaveLength(1)
  expect((await app.bob.call('GET', `/api/v1/sessions/user-1_${id}`)).status).toBe(404)
  expect((await app.ada.call('DELETE', `/api/v1/sessions/user-1_${id}`)).status).toBe(204)
  expect((await app.ada.call('GET', `/api/v1/sessions/user-1_${id}`)).status).toBe(404)
})

test('an agent that is gone is not found, also by those who just talked to it; to strangers it never was', async () => {
  const { id } = await agentOf(app.ada)
  expect((await app.ada.call('POST', `/api/v1/chat/${id}/before`, { message: 'hello' })).status).toBe(200)
  expect((await app.bob.call('POST', `/api/v1/chat/${id}/before`, { message: 'hello' })).status).toBe(404)
  expect((await app.ada.call('DELETE', `/api/v1/agents/${id}`)).status).toBe(204)
  for (const session of ['before', 'after'])
    expect((await app.ada.call('POST', `/api/v1/chat/${id}/${session}`, { message: 'hello' })).status).toBe(404)
})

test('a stream numbers its events without gaps, and its pieces are the whole answer', async () => {
  const { id } = await agentOf(app.ada)
  const response = await stream(app.ada, `${id}/user-2?stream=true`, { message: 'one two three' })
  expect(response.headers.get('content-type')).toStartWith('text/event-stream')
  const events = await readEvents(response)
  expect(events.map((event) => event.id)).toEqual(events.map((_, index) => index + 1))
  expect(events.map(({ type }) => type)).toEqual([
    'run-started',
    'text-delta',
    'text-delta',
    'text-delta',
    'text-delta',
    'message',
    'run-finished',
  ])
  expect(shownText(events)).toBe('Echo: one two three')
})

test('Last-Event-ID resumes a run anywhere, with every event once, while it runs and after it has ended', async () => {
  const { id } = await agentOf(app.ada)
  const first = await readEvents(
    await stream(app.ada, `${id}/user-3?stream=true`, { message: '/slow 60\na b c d e f' }),
    ({ type }) => type === 'text-delta',
  )
  const runId = first[0]?.data.run_id
  const resume = async (after: number) =>
    readEvents(
      await fetch(`${app.url}/api/v1/runs/${runId}/events`, {
        headers: { authorization: `Bearer ${app.ada.token}`, 'last-event-id': String(after) },
      }),
    )
  const rest = await resume(first.at(-1)?.id ?? 0)
  const all = [...first, ...rest]
  expect(all.map((event) => event.id)).toEqual(all.map((_, index) => index + 1))
  expect(shownText(all)).toBe('Echo: a b c d e f')
  expect(await resume(0)).toEqual(all)
  expect(await resume(4)).toEqual(all.slice(4))
  // Who has seen all of it, or says so, is not kept waiting for more.
  const seen = await app.ada.call('GET', `/api/v1/runs/${runId}/events`, undefined, { 'last-event-id': String(all.length) })
  expect(seen).toMatchObject({ status: 204, body: '' })
  expect(await resume(9999)).toEqual(all.slice(-1))
  expect((await app.bob.call('GET', `/api/v1/runs/${runId}/events`)).status).toBe(404)
  expect((await app.ada.call('GET', `/api/v1/runs/${runId}/events`, undefined, { 'last-event-id': 'x' })).status).toBe(400)
})

test('a tool is called once, with its answer in the journal and in the reply', async () => {
  const { id } = await agentOf(app.ada, weatherTool())
  const events = await readEvents(await stream(app.ada, `${id}/user-4?stream=true`, { message: '/tool get_weather {"city":"Rome"}' }))
  expect(toolCalls.filter(({ path }) => path === '/weather/Rome')).toHaveLength(1)
  const parts = events.filter(({ type }) => type === 'message').flatMap(({ data }) => data.content.parts)
  expect(parts[0].function_call).toMatchObject({ name: 'get_weather', args: { city: 'Rome' } })
  expect(parts[1].function_response).toMatchObject({ name: 'get_weather', response: { sunny: true } })
  expect(parts[2].text).toContain('sunny')
  const run = await app.ada.call('GET', `/api/v1/runs/${events[0]?.data.run_id}`)
  expect(run.body.steps.map(({ key, state }: { key: string; state: string }) => `${key} ${state}`)).toEqual([
    'model:1 done',
    'tool:1:0:get_weather done',
    'model:2 done',
  ])
  // The next turn hears of the tool's answer too.
  const next = await app.ada.call('POST', `/api/v1/chat/${id}/user-4`, { message: 'thanks' })
  expect(next.body.response).toBe('Echo: thanks')
})

test('defect 59: while a tool is silent, everybody else is served', async () => {
  const { id } = await agentOf(app.ada, weatherTool())
  const other = await agentOf(app.bob)
  const waiting = app.ada.call('POST', `/api/v1/chat/${id}/patient`, { message: '/tool get_weather {"city":"Nowhere"}' })
  while (!toolCalls.some(({ path }) => path === '/weather/Nowhere')) await Bun.sleep(10)
  expect((await app.bob.call('POST', `/api/v1/chat/${other.id}/quick`, { message: 'hi' })).body.response).toBe('Echo: hi')
  expect((await app.ada.call('GET', `/api/v1/agents/${id}`)).status).toBe(200)
  expect(await Promise.race([waiting.then(() => 'over'), Promise.resolve('waiting')])).toBe('waiting')
  nowhere.resolve()
  expect((await waiting).status).toBe(200)
})

test('defect 61: a failed run is a failed request, and a failed run', async () => {
  const { id } = await agentOf(app.ada)
  const failed = await app.ada.call('POST', `/api/v1/chat/${id}/user-5`, { message: '/fail' })
  expect(failed).toMatchObject({ status: 502, body: { detail: 'The demo model was told to fail.' } })
  expect(failed.body.type).toEndWith('/upstream-error')
  const events = await readEvents(await stream(app.ada, `${id}/user-5?stream=true`, { message: '/fail' }))
  expect(events.at(-1)).toMatchObject({ type: 'run-failed', data: { problem: 'upstream-error' } })
  expect((await app.ada.call('GET', `/api/v1/runs/${events[0]?.data.run_id}`)).body).toMatchObject({
    status: 'failed',
    error: { problem: 'upstream-error' },
  })
})

test("an agent's key opens this agent and no other", async () => {
  const mine = await agentOf(app.ada)
  const other = await agentOf(app.ada)
  const talk = (id: string, key: string) => app.stranger('POST', `/api/v1/chat/${id}/user-6`, { message: 'hi' }, { 'x-api-key': key })
  expect(await talk(mine.id, mine.config.api_key)).toMatchObject({ status: 200, body: { response: 'Echo: hi' } })
  const refused = await talk(other.id, mine.config.api_key)
  expect(refused.status).toBe(401)
  expect(refused.body.type).toEndWith('/invalid-api-key')
  expect((await app.stranger('POST', `/api/v1/chat/${mine.id}/user-6`, { message: 'hi' })).status).toBe(401)
  expect((await app.bob.call('POST', `/api/v1/chat/${mine.id}/user-6`, { message: 'hi' })).status).toBe(404)
})

test('cancel ends a run within two seconds, and the session takes the next turn', async () => {
  const { id } = await agentOf(app.ada)
  const response = await stream(app.ada, `${id}/user-7?stream=true`, { message: `/slow 500\n${'word '.repeat(50)}` })
  const started = Date.now()
  const first = await readEvents(response, ({ type }) => type === 'text-delta')
  const runId = first[0]?.data.run_id
  expect((await app.ada.call('POST', `/api/v1/runs/${runId}/cancel`)).status).toBe(200)
  const rest = await readEvents(
    await fetch(`${app.url}/api/v1/runs/${runId}/events`, { headers: { authorization: `Bearer ${app.ada.token}` } }),
  )
  expect(rest.at(-1)?.type).toBe('run-cancelled')
  expect(Date.now() - started).toBeLessThan(5000)
  expect((await app.ada.call('GET', `/api/v1/runs/${runId}`)).body.status).toBe('cancelled')
  expect((await app.ada.call('POST', `/api/v1/chat/${id}/user-7`, { message: 'next' })).status).toBe(200)
})

test('whoever waits for a run whose session or agent is deleted is told so, on every way', async () => {
  const { id } = await agentOf(app.ada)
  const message = `/slow 1000\n${'word '.repeat(50)}`
  const watch = async (user: string, remove: string) => {
    const streamed = await stream(app.ada, `${id}/${user}?stream=true`, { message })
    const queued = app.ada.call('POST', `/api/v1/chat/${id}/${user}`, { message: 'waits for its turn' })
    const socket = await openChat(`${app.url}/api/v1/chat/ws/${id}/${user}`, { type: 'authorization', token: app.ada.token })
    socket.send({ message: 'waits too' })
    while ((await app.ada.call('GET', `/api/v1/runs/?session_id=${user}_${id}`)).body.length < 3) await Bun.sleep(20)
    expect((await app.ada.call('DELETE', remove)).status).toBe(204)
    const [events, answer, frame] = await Promise.all([readEvents(streamed), queued, socket.until(({ error }) => error !== undefined)])
    await socket.until(isTurnComplete)
    socket.socket.close()
    return { stream: events.at(-1), status: answer.status, detail: answer.body.detail, frame: frame.error.detail }
  }
  const detail = 'The run is gone: its session or its agent was deleted.'
  const told = { stream: { type: 'error', data: { problem: 'not-found', detail } }, status: 404, detail, frame: detail }
  expect(await watch('erased', `/api/v1/sessions/erased_${id}`)).toMatchObject(told)
  expect(await watch('orphan', `/api/v1/agents/${id}`)).toMatchObject(told)
})

test('a client that leaves with on_disconnect=cancel takes its run with it, another leaves it running', async () => {
  const { id } = await agentOf(app.ada)
  const leave = async (user: string, policy: string) => {
    const [started] = await readEvents(
      await stream(app.ada, `${id}/${user}?stream=true&on_disconnect=${policy}`, { message: `/slow 100\n${'word '.repeat(8)}` }),
      ({ type }) => type === 'text-delta',
    )
    for (;;) {
      const { body } = await app.ada.call('GET', `/api/v1/runs/${started?.data.run_id}`)
      if (!['queued', 'running'].includes(body.status)) return body.status
      await Bun.sleep(50)
    }
  }
  expect(await leave('user-8', 'cancel')).toBe('cancelled')
  expect(await leave('user-9', 'continue')).toBe('succeeded')
})

test('turns of one session are taken one after the other, in the order in which they came', async () => {
  const { id } = await agentOf(app.ada)
  const say = (message: string) => app.ada.call('POST', `/api/v1/chat/${id}/user-10`, { message })
  const first = say('/slow 100\none two')
  await Bun.sleep(80)
  const second = say('second')
  await Bun.sleep(80)
  const third = say('third')
  const answers = await Promise.all([first, second, third])
  expect(answers.map(({ body }) => body.response)).toEqual(['Echo: one two', 'Echo: second', 'Echo: third'])
  const messages = await app.ada.call('GET', `/api/v1/sessions/user-10_${id}/messages`)
  expect(messages.body.map(({ author }: { author: string }) => author)).toEqual(['user', 'echo', 'user', 'echo', 'user', 'echo'])
})

test('a queued turn can be cancelled before it begins', async () => {
  const { id } = await agentOf(app.ada)
  const first = app.ada.call('POST', `/api/v1/chat/${id}/user-11`, { message: '/slow 150\none two three four five' })
  await Bun.sleep(100)
  const second = stream(app.ada, `${id}/user-11?stream=true`, { message: 'never said' })
  await Bun.sleep(150)
  const rows = await app.services.db.execute<{ id: string }>("select id from runs where status = 'queued'")
  expect(rows).toHaveLength(1)
  expect((await app.ada.call('POST', `/api/v1/runs/${rows[0]?.id}/cancel`)).body.status).toBe('cancelled')
  expect((await readEvents(await second)).at(-1)?.type).toBe('run-cancelled')
  expect((await first).status).toBe(200)
  const messages = await app.ada.call('GET', `/api/v1/sessions/user-11_${id}/messages`)
  expect(messages.body).toHaveLength(2)
})

test('an external id that would blur the session id is refused', async () => {
  const { id } = await agentOf(app.ada)
  expect((await app.ada.call('POST', `/api/v1/chat/${id}/a_b`, { message: 'hi' })).status).toBe(422)
  expect((await app.ada.call('POST', `/api/v1/chat/${id}/a%20b`, { message: 'hi' })).status).toBe(422)
})

test('an Idempotency-Key makes two requests one run', async () => {
  const { id } = await agentOf(app.ada)
  const key = { 'idempotency-key': crypto.randomUUID() }
  const [first, second] = await Promise.all([1, 2].map(() => app.ada.call('POST', `/api/v1/chat/${id}/user-12`, { message: 'once' }, key)))
  expect([first?.body.response, second?.body.response]).toEqual(['Echo: once', 'Echo: once'])
  const later = await app.ada.call('POST', `/api/v1/chat/${id}/user-12`, { message: 'once' }, key)
  expect([second?.body, later.body]).toEqual([first?.body, first?.body])
  expect((await app.ada.call('GET', `/api/v1/sessions/user-12_${id}/messages`)).body).toHaveLength(2)
})

test('whoever talks to an agent is a contact of its client: made at the first word, found from then on, and not made again once deleted', async () => {
  const { id } = await agentOf(app.ada)
  const other = await agentOf(app.ada)
  const say = (agent: string) => app.ada.call('POST', `/api/v1/chat/${agent}/contact-1`, { message: 'hi' })
  const contacts = async () => {
    const { body } = await app.ada.call('GET', `/api/v1/contacts/?client_id=${app.ada.clientId}&limit=1000`)
    return body.filter(({ ext_id }: { ext_id: string }) => ext_id === 'contact-1')
  }
  expect((await say(id)).status).toBe(200)
  const [contact, ...more] = await contacts()
  expect(more).toEqual([])
  expect((await say(other.id)).status).toBe(200)
  expect(await contacts()).toEqual([contact])
  const linked = await app.services.db.execute<{ contact_id: string }>(`select contact_id from sessions where external_id = 'contact-1'`)
  expect(linked.map(({ contact_id }) => contact_id)).toEqual([contact.id, contact.id])
  expect((await app.ada.call('DELETE', `/api/v1/contacts/${contact.id}`)).status).toBe(204)
  expect((await say(id)).status).toBe(200)
  expect(await contacts()).toEqual([])
})
