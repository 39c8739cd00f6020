import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type ChatConnection, isTurnComplete, openChat } from '../support/chat-socket'
import { readEvents } from '../support/events'
import { type Person, startApp, type TestApp } from '../support/start-app'

let app: TestApp
let agent: { id: string; config: { api_key: string } }
const open: ChatConnection[] = []

beforeAll(async () => {
  app = await startApp({ CORS_ORIGINS: 'https://app.example.com' })
  agent = await newAgent(app.ada)
})
afterAll(async () => {
  for (const { socket } of open) socket.close()
  await app.close()
})

const newAgent = async ({ call, clientId }: Person) => {
  const { body } = await call('POST', '/api/v1/agents/', { client_id: clientId, name: 'echo', type: 'llm', model: 'demo/echo', config: {} })
  return body as typeof agent
}
const chat = async (
  session: string,
  first?: object,
  { id = agent.id, headers = {} }: { id?: string; headers?: Record<string, string> } = {},
) => {
  const connection = await openChat(`${app.url}/api/v1/chat/ws/${id}/${session}`, first, headers)
  open.push(connection)
  return connection
}
const asAda = (more: object = {}) => ({ type: 'authorization', token: app.ada.token, ...more })
// biome-ignore lint/suspicious/noExplicitAny: frames of every shape
const textOf = (frame: any) => frame.message.content.parts.map((part: { text: string }) => part.text).join('')

test('the web frontend talks: a message right behind the authorization, whole events with content, and the end of the turn', async () => {
  const ada = await chat('20260101000000001', asAda())
  ada.send({ message: 'hello there' })
  await ada.until(isTurnComplete)
  expect(ada.frames).toMatchObject([
    {
      message: { author: 'echo', content: { role: 'agent', parts: [{ type: 'text', text: 'Echo: hello there', inline_data: null }] } },
      turn_complete: false,
    },
    { message: '', turn_complete: true },
  ])
  expect(ada.frames).toHaveLength(2)
  const messages = await app.ada.call('GET', `/api/v1/sessions/20260101000000001_${agent.id}/messages`)
  expect(messages.body.map(({ author }: { author: string }) => author)).toEqual(['user', 'echo'])
  expect(messages.body[1].id).toBe(ada.frames[0].message.id)
})

test("an agent's key opens its agent, and turns are taken one after the other", async () => {
  const guest = await chat('guest', { type: 'authorization', api_key: agent.config.api_key })
  guest.send({ message: '/slow 40\none two' })
  guest.send({ message: 'second' })
  await guest.until((frame) => isTurnComplete(frame) && guest.frames.filter(isTurnComplete).length === 2)
  expect(guest.frames.filter((frame) => !isTurnComplete(frame)).map(textOf)).toEqual(['Echo: one two', 'Echo: second'])
})

test('defect 12: a message of files alone runs, with the keys that a browser adds and without the files that lack one', async () => {
  const ada = await chat('files', asAda())
  const file = { filename: 'a.txt', content_type: '', data: btoa('text'), size: 4, preview_url: 'data:' }
  ada.send({ message: '', files: [file, { filename: 'broken' }] })
  await ada.until(isTurnComplete)
  expect(textOf(ada.frames[0])).toContain('Analyze the provided files')
  const { body } = await app.ada.call('GET', `/api/v1/sessions/files_${agent.id}/messages`)
  expect(body[0].content.parts[1].inline_data).toMatchObject({ data: btoa('text'), metadata: { filename: 'a.txt' } })
})

test('several files go in one frame, larger than the 16 MiB that Bun takes by itself', async () => {
  const ada = await chat('large', asAda())
  const data = Buffer.alloc(2_700_000, 7).toString('base64')
  ada.send({
    message: 'look',
    files: Array.from({ length: 5 }, (_, i) => ({ filename: `${i}.bin`, content_type: 'application/zip', data })),
  })
  await ada.until(isTurnComplete)
  expect(textOf(ada.frames[0])).toStartWith('Echo: look')
})

test('a failed turn is told in an event, with the problem, and the turn ends', async () => {
  const ada = await chat('failing', asAda())
  ada.send({ message: '/fail' })
  await ada.until(isTurnComplete)
  expect(ada.frames).toMatchObject([
    { message: { author: 'echo', error_code: 'upstream-error', content: { role: 'agent' } } },
    { turn_complete: true },
  ])
  expect(textOf(ada.frames[0])).toBe('Error: The demo model was told to fail.')
  ada.send({ message: 'again' })
  await ada.until(isTurnComplete, 2)
  expect(textOf(ada.frames[2])).toBe('Echo: again')
})

test('with deltas the frames are the run log, which another connection resumes behind any of them', async () => {
  const ada = await chat('deltas?deltas=true', asAda())
  ada.send({ message: '/slow 40\na b c d e' })
  const third = await ada.until(({ type }) => type === 'text-delta')
  const resumed = await chat('elsewhere', asAda({ deltas: true }))
  resumed.send({ type: 'resume', run_id: third.run_id, last_event_id: third.id })
  await Promise.all([ada, resumed].map(({ until }) => until(({ type }) => type === 'run-finished')))
  expect(ada.frames[0]).toEqual({ type: 'ready' })
  const log = ada.frames.slice(1)
  expect(log.map(({ id }) => id)).toEqual(log.map((_, index) => index + 1))
  expect(resumed.frames.slice(1)).toEqual(log.slice(third.id))
  const rest = await readEvents(
    await fetch(`${app.url}/api/v1/runs/${third.run_id}/events`, { headers: { authorization: `Bearer ${app.ada.token}` } }),
  )
  expect(log.map(({ type, data }) => ({ type, data }))).toEqual(rest.map(({ type, data }) => ({ type, data })))
})

test('WS-01: a page of another origin is refused, one of ours and a program are not', async () => {
  const upgrade = (origin: Record<string, string>) =>
    fetch(`${app.url}/api/v1/chat/ws/${agent.id}/origin`, {
      headers: {
        ...origin,
        connection: 'upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': btoa('0123456789abcdef'),
      },
    })
  expect((await upgrade({ origin: 'https://evil.example' })).status).toBe(403)
  expect((await upgrade({ origin: 'null' })).status).toBe(403)
  for (const headers of [{ origin: 'https://app.example.com' }, { origin: 'http://localhost:8000' }]) {
    const friend = await chat('origin', asAda({ deltas: true }), { headers })
    expect(await friend.until(({ type }) => type === 'ready')).toBeDefined()
  }
  expect((await app.stranger('GET', `/api/v1/chat/ws/${agent.id}/plain`)).status).toBe(400)
  expect((await app.stranger('GET', `/api/v1/chat/ws/${agent.id}/a_b`, undefined, { upgrade: 'websocket' })).status).toBe(422)
})

test('WS-02: who is nobody, or has no right to this agent, is shown out with 1008 and learns nothing', async () => {
  const other = await newAgent(app.ada)
  const attempts: [object, string?][] = [
    [{ message: 'hello' }],
    [{ type: 'authorization' }],
    [{ type: 'authorization', token: 'a.b.c' }],
    [{ type: 'authorization', api_key: 'wrong' }],
    [{ type: 'authorization', api_key: other.config.api_key }],
    [{ type: 'authorization', token: app.bob.token }],
    [asAda(), crypto.randomUUID()],
  ]
  for (const [first, id] of attempts) {
    const connection = await chat('nobody', first, id === undefined ? {} : { id })
    expect(await connection.closed).toMatchObject({ code: 1008 })
    expect(connection.frames).toEqual([])
  }
  // A token that fails leaves the word to the key.
  const both = await chat('both', { type: 'authorization', token: 'a.b.c', api_key: agent.config.api_key, deltas: true })
  await both.until(({ type }) => type === 'ready')
})

test('WS-02: silence is ended after five seconds, and the silent are counted by address', async () => {
  const before = performance.now()
  const silent = await Promise.all(Array.from({ length: 40 }, () => chat('silent')))
  const refused = silent.filter(({ socket }) => socket.readyState !== WebSocket.OPEN)
  expect(refused.length).toBeGreaterThanOrEqual(8)
  const ends = await Promise.all(silent.filter((one) => !refused.includes(one)).map(({ closed }) => closed))
  expect(new Set(ends.map(({ code }) => code))).toEqual(new Set([1008]))
  expect(performance.now() - before).toBeLessThan(7000)
  const next = await chat('silent', asAda({ deltas: true }))
  await next.until(({ type }) => type === 'ready')
})

test('WS-04, defect 69: before authorization 16 KiB are enough, later the limit of a frame holds', async () => {
  const talker = await chat('talker', asAda({ padding: 'x'.repeat(17_000) }))
  expect(await talker.closed).toMatchObject({ code: 1009 })
  const eager = await chat('eager', asAda())
  for (let i = 0; i < 5; i++) eager.send({ message: 'x'.repeat(10_000) })
  expect(await eager.closed).toMatchObject({ code: 1009 })
  const giant = await chat('giant', asAda({ deltas: true }))
  await giant.until(({ type }) => type === 'ready')
  giant.socket.send(`{"message":"${'x'.repeat(app.config.limits.uploadBytes)}"}`)
  expect((await giant.closed).code).toBeOneOf([1006, 1009])
})

test('WS-06: a flood is answered with rate-limited and ended', async () => {
  const ada = await chat('flood', asAda())
  ada.send({ message: '/slow 200\na b c d e f' })
  for (let i = 0; i < 100; i++) ada.send({ message: `message ${i}` })
  expect(await ada.closed).toEqual({ code: 1008, reason: 'rate-limited' })
  expect(ada.frames.find(({ error }) => error !== undefined).error).toMatchObject({ status: 429 })
})

test('WS-07, WS-09: what breaks a rule is told without being repeated, and ten times in a row end the connection', async () => {
  const ada = await chat('broken', asAda())
  const file = { filename: 'a.png', content_type: 'image/png', data: btoa('not a picture') }
  const broken: [unknown, number, string][] = [
    ['{"message":"sEcret', 400, 'malformed-request'],
    ['["sEcret"]', 400, 'malformed-request'],
    ['{"message":{"sEcret":1}}', 422, 'validation-failed'],
    ['{"message":"a\\u0000sEcret"}', 422, 'validation-failed'],
    [JSON.stringify({ message: '', sEcret: 1 }), 422, 'validation-failed'],
    [JSON.stringify({ message: 'x', files: [{ ...file, filename: '../../sEcret' }] }), 422, 'validation-failed'],
    [JSON.stringify({ message: 'x', files: [{ ...file, data: 'sEcret!' }] }), 422, 'validation-failed'],
    [JSON.stringify({ message: 'x', files: [file] }), 422, 'validation-failed'],
    [JSON.stringify({ type: 'resume', run_id: 'sEcret' }), 422, 'validation-failed'],
  ]
  for (const [frame, status, problem] of broken) {
    const from = ada.frames.length
    ada.socket.send(String(frame))
    await ada.until(isTurnComplete, from)
    expect(ada.frames[from]).toMatchObject({ error: { status }, message: { error_code: problem, content: { parts: [{ type: 'text' }] } } })
  }
  ada.send({ message: 'fine' })
  await ada.until((frame) => !isTurnComplete(frame) && textOf(frame) === 'Echo: fine')
  for (let i = 0; i < 10; i++) ada.socket.send(new Uint8Array([1, 2, 3]))
  expect(await ada.closed).toEqual({ code: 1008, reason: 'Too many broken frames' })
  expect(JSON.stringify(ada.frames)).not.toContain('sEcret')
})

test('a place in the log is a whole number, also where a text would read as one', async () => {
  const ada = await chat('places', asAda({ deltas: true }))
  for (const place of [-1, 1.5, '-1', '1e0', '99999999999999999999', ' 1']) {
    const from = ada.frames.length
    ada.send({ type: 'resume', run_id: crypto.randomUUID(), last_event_id: place })
    const { data } = await ada.until(({ type }) => type === 'error', from)
    expect(data).toMatchObject({ status: 422, errors: [{ pointer: '/last_event_id' }] })
    expect(data.detail).toStartWith('last_event_id: Expected integer')
  }
})

test('what is wrong with a file of a frame is said with its pointer, as in REST', async () => {
  const file = { filename: 'a.txt', content_type: 'text/plain', data: btoa('hi') }
  const files = [file, { ...file, data: '!!' }, { ...file, filename: '../x' }]
  const ada = await chat('pointers', asAda({ deltas: true }))
  ada.send({ message: 'x', files })
  const { data } = await ada.until(({ type }) => type === 'error')
  const rest = await app.ada.call('POST', `/api/v1/chat/${agent.id}/pointers`, { message: 'x', files })
  expect(rest.body.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual(['/files/1/data', '/files/2/filename'])
  expect(data).toMatchObject({ detail: rest.body.detail, errors: rest.body.errors })
})

test('WS-08: a run goes on without its client, unless the client asked to take it along', async () => {
  const leave = async (session: string) => {
    const ada = await chat(session, asAda({ deltas: true }))
    ada.send({ message: `/slow 100\n${'word '.repeat(10)}` })
    const { run_id } = await ada.until(({ type }) => type === 'text-delta')
    ada.socket.terminate()
    for (;;) {
      const { body } = await app.ada.call('GET', `/api/v1/runs/${run_id}`)
      if (body.status !== 'running') return body.status
      await Bun.sleep(50)
    }
  }
  expect(await leave('gone')).toBe('succeeded')
  expect(await leave('gone-with-it?on_disconnect=cancel')).toBe('cancelled')
})

test('defect 58: idle connections, many more than there are to the database, hold up nobody', async () => {
  const small = await startApp({ DATABASE_POOL_SIZE: '2', DATABASE_ACQUIRE_TIMEOUT_MS: '30000' })
  const { call, clientId, token } = small.ada
  const { body } = await call('POST', '/api/v1/agents/', { client_id: clientId, name: 'echo', type: 'llm', model: 'demo/echo', config: {} })
  const idle = await Promise.all(
    Array.from({ length: 20 }, (_, n) => openChat(`${small.url}/api/v1/chat/ws/${body.id}/idle-${n}`, { type: 'authorization', token })),
  )
  // Each has been let in, and has said something once.
  for (const chat of idle) {
    chat.send({ message: 'hi' })
    await chat.until(isTurnComplete)
  }
  for (let i = 0; i < 5; i++) expect((await call('POST', `/api/v1/chat/${body.id}/busy`, { message: 'hi' })).status).toBe(200)
  expect(idle.map(({ socket }) => socket.readyState)).toEqual(idle.map(() => WebSocket.OPEN))
  for (const { socket } of idle) socket.close()
  await small.close()
})
