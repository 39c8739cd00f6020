import { afterAll, beforeAll, expect, test } from 'bun:test'
import { connect, type Socket } from 'node:net'
import { openChat } from '../support/chat-socket'
import { converse, rawRequest } from '../support/raw-http'
import { type Person, startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

const MIB = 1_048_576

let app: TestApp
const agents = new Map<Person, string>()

beforeAll(async () => {
  app = await startApp({ MAX_HELD_BYTES: String(8 * MIB), MAX_UPLOAD_BYTES: String(6 * MIB), MAX_BODY_BYTES: String(MIB / 2) })
  for (const person of [app.ada, app.bob]) {
    const draft = { client_id: person.clientId, name: 'echo', type: 'llm', model: 'demo/echo', config: {} }
    agents.set(person, (await person.call('POST', '/api/v1/agents/', draft)).body.id)
  }
})
afterAll(() => app.close())

const file = (bytes: number) => ({
  filename: 'a.bin',
  content_type: 'application/zip',
  data: Buffer.alloc(bytes * 0.75, 7).toString('base64'),
})
const pathOf = (person: Person, session: string) => `/api/v1/chat/${agents.get(person)}/${session}`
const headOf = (person: Person, session: string, bytes: number) =>
  rawRequest('POST', pathOf(person, session), [
    'Content-Type: application/json',
    `Authorization: Bearer ${person.token}`,
    `Content-Length: ${bytes}`,
  ])

/** What came of a message with a file of so many bytes, in base64. */
const chat = async (person: Person, session: string, bytes: number) => {
  const body = JSON.stringify({ message: 'look', files: [file(bytes)] })
  async function* sent() {
    yield headOf(person, session, body.length)
    for (let at = 0; at < body.length; at += 65_536) yield body.slice(at, at + 65_536)
  }
  const { replies, ms } = await converse(app.url, sent(), { timeoutMs: 10_000, quietMs: 0 })
  const [reply] = replies
  return { status: reply?.status, problem: reply?.body.match(/problems\/([a-z-]+)/)?.[1], retry: reply?.headers.get('retry-after'), ms }
}

/** A body that is declared and does not come. */
const dawdle = async (person: Person, bytes: number): Promise<Socket> => {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(app.url).port) })
  socket.on('error', () => {})
  await new Promise((connected) => socket.once('connect', connected))
  socket.write(`${headOf(person, 'dawdler', bytes)}{`)
  return socket
}
const hasRoom = (person: Person, bytes: number) => {
  const hold = app.services.room.takeNow(person.clientId, bytes)
  if (hold instanceof Error) return false
  hold.release()
  return true
}

test('bodies in hand are bounded: who finds no room is told so within two seconds, others and small messages find some', async () => {
  const slow = await dawdle(app.ada, 3 * MIB)
  await until(() => !hasRoom(app.ada, 3 * MIB))
  const [refused, small, other] = await Promise.all([
    chat(app.ada, 'second', 2 * MIB),
    chat(app.ada, 'small', MIB / 8),
    chat(app.bob, 'other', 2 * MIB),
  ])
  expect(refused).toMatchObject({ status: 503, problem: 'overloaded', retry: '2' })
  expect(refused.ms).toBeLessThan(2000)
  expect([small.status, other.status]).toEqual([200, 200])
  slow.destroy()
  expect(await chat(app.ada, 'second', 2 * MIB)).toMatchObject({ status: 200 })
})

test('a body that waits for room is read when there is some', async () => {
  const slow = await dawdle(app.ada, 4 * MIB)
  await until(() => !hasRoom(app.ada, 3 * MIB))
  const waiting = chat(app.ada, 'waiting', 3 * MIB)
  // Nobody waits for this one's answer when it gets its room.
  const gone = await dawdle(app.ada, 3 * MIB)
  await Bun.sleep(300)
  gone.destroy()
  slow.destroy()
  expect(await waiting).toMatchObject({ status: 200 })
  await until(() => hasRoom(app.ada, 8 * MIB))
})

test('room is left by bodies that are refused, broken or abandoned, and with the end of what they began', async () => {
  const call = async (path: string, body: string, signal?: AbortSignal) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${app.ada.token}` }
    return fetch(`${app.url}${path}`, { method: 'POST', body, headers, ...(signal && { signal }) })
  }
  const large = file(3 * MIB)
  expect((await call(pathOf(app.ada, 'broken'), `{"message":"${'x'.repeat(3 * MIB)}`)).status).toBe(400)
  expect((await call(pathOf(app.ada, 'invalid'), JSON.stringify({ message: 1, files: [large] }))).status).toBe(422)
  expect((await call(pathOf(app.ada, 'a_b'), JSON.stringify({ message: 'look', files: [large] }))).status).not.toBe(503)
  for (let ms = 0; ms < 60; ms += 3) {
    const body = JSON.stringify({ message: 'look', files: [large] })
    await call(pathOf(app.ada, `gone-${ms}`), body, AbortSignal.timeout(ms)).catch((error: Error) => error.name)
  }
  await until(() => hasRoom(app.ada, 8 * MIB))
  const leaving = new AbortController()
  const body = JSON.stringify({ message: '/slow 200\none two three', files: [large] })
  const stream = await call(`${pathOf(app.ada, 'leaving')}?stream=true&on_disconnect=cancel`, body, leaving.signal)
  await stream.body?.getReader().read()
  leaving.abort()
  await until(() => hasRoom(app.ada, 8 * MIB))
})

test("the files that a run is shown take room as long as it takes: another of the client's runs waits, one without files does not", async () => {
  const begin = async (session: string, message: object) => {
    const run = { ...message, external_id: session, mode: 'background' }
    const { status, body } = await app.ada.call('POST', `/api/v1/agents/${agents.get(app.ada)}/runs`, run)
    expect(status).toBe(202)
    return `/api/v1/runs/${body.id}`
  }
  const statusOf = async (run: string) => (await app.ada.call('GET', run)).body.status
  expect(await chat(app.ada, 'illustrated', MIB)).toMatchObject({ status: 200 })
  const slow = await begin('slow', { message: '/slow 10000\none two', files: [file(3.5 * MIB)] })
  await until(() => !hasRoom(app.ada, MIB))
  const illustrated = await begin('illustrated', { message: 'What was that?' })
  await until(async () => (await statusOf(illustrated)) === 'running')
  expect(await chat(app.ada, 'beside', MIB / 8)).toMatchObject({ status: 200 })
  expect(await statusOf(illustrated)).toBe('running')
  await app.ada.call('POST', `${slow}/cancel`)
  await until(async () => (await statusOf(illustrated)) === 'succeeded')
  await until(() => hasRoom(app.ada, 8 * MIB))
})

test('a conversation with large files takes room until its reader has it all, or is gone', async () => {
  expect(await chat(app.ada, 'album', 3 * MIB)).toMatchObject({ status: 200 })
  await until(() => hasRoom(app.ada, 8 * MIB))
  const path = `/api/v1/sessions/album_${agents.get(app.ada)}/messages`
  const reader = connect({ host: '127.0.0.1', port: Number(new URL(app.url).port) })
  reader.on('error', () => {})
  await new Promise((connected) => reader.once('connect', connected))
  reader.pause()
  reader.write(rawRequest('GET', path, [`Authorization: Bearer ${app.ada.token}`]))
  await until(() => !hasRoom(app.ada, 3 * MIB))
  await Bun.sleep(300)
  expect(hasRoom(app.ada, 3 * MIB)).toBe(false)
  expect(await app.ada.call('GET', path)).toMatchObject({ status: 503, body: { status: 503 } })
  expect(await app.ada.call('GET', `${path}?limit=1&skip=0`)).toMatchObject({ status: 200 })
  reader.destroy()
  await until(() => hasRoom(app.ada, 8 * MIB))
  const { status, body } = await app.ada.call('GET', path)
  expect(status).toBe(200)
  expect(body[0].content.parts[1].inline_data.data).toBe(file(3 * MIB).data)
  await until(() => hasRoom(app.ada, 8 * MIB))
  const whole = await app.ada.call('GET', path.replace('/messages', ''))
  expect(whole.body.events[0].content.parts[1].inlineData.data).toBe(file(3 * MIB).data)
  // Whoever leaves at any other moment.
  for (let ms = 0; ms < 60; ms += 3) {
    const signal = AbortSignal.timeout(ms)
    await fetch(`${app.url}${path}`, { headers: { authorization: `Bearer ${app.ada.token}` }, signal }).catch((error: Error) => error.name)
  }
  await until(() => hasRoom(app.ada, 8 * MIB))
  for (const about of [path, path.replace('/messages', ''), path.replace('/messages', '/artifacts/a.bin')])
    expect(await app.ada.call('HEAD', about)).toMatchObject({ status: 200, body: '' })
  await until(() => hasRoom(app.ada, 8 * MIB))
})

test('a task that comes with a file over A2A and is waited for does not stand in its own way', async () => {
  const part = { kind: 'file', file: { name: 'a.bin', mimeType: 'application/zip', bytes: file(3 * MIB).data } }
  const message = { kind: 'message', role: 'user', messageId: 'm1', parts: [{ kind: 'text', text: 'look' }, part] }
  const call = { jsonrpc: '2.0', id: 1, method: 'message/send', params: { message, configuration: { blocking: true } } }
  const { body } = await app.ada.call('POST', `/api/v1/a2a/${agents.get(app.ada)}`, call, { 'a2a-version': '0.3' })
  expect(body.result?.status).toMatchObject({ state: 'completed' })
})

test('a frame that finds no room is told of in its turn, and the connection goes on', async () => {
  const slow = await dawdle(app.ada, 4 * MIB)
  await until(() => !hasRoom(app.ada, 2 * MIB))
  const socket = await openChat(`${app.url}/api/v1/chat/ws/${agents.get(app.ada)}/frames?deltas=true`, {
    type: 'authorization',
    token: app.ada.token,
  })
  await socket.until(({ type }) => type === 'ready')
  socket.send({ message: '/slow 20\none two' })
  socket.send({ message: 'look', files: [file(2 * MIB)] })
  const refusal = await socket.until(({ type }) => type === 'error')
  expect(refusal.data.type).toEndWith('/overloaded')
  expect(socket.frames.map(({ type }) => type).indexOf('run-finished')).toBeLessThan(socket.frames.indexOf(refusal))
  slow.destroy()
  await until(() => hasRoom(app.ada, 4 * MIB))
  socket.send({ message: 'look', files: [file(2 * MIB)] })
  await socket.until(({ type }) => type === 'run-finished', socket.frames.length)
  await until(() => hasRoom(app.ada, 8 * MIB))
  socket.socket.close()
})
