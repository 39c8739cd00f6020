import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { LogEvent } from '~/features/runs/log-event'
import { isTurnComplete, openChat } from '../support/chat-socket'
import { OPCODE, openRawSocket } from '../support/raw-socket'
import { serveSockets } from '../support/socket-server'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
let agent: { id: string; config: { api_key: string } }
let quiet: Awaited<ReturnType<typeof openRawSocket>>
let pingedAfter: Promise<number>

beforeAll(async () => {
  app = await startApp()
  const { ada } = app
  agent = (
    await ada.call('POST', '/api/v1/agents/', { client_id: ada.clientId, name: 'echo', type: 'llm', model: 'demo/echo', config: {} })
  ).body
  quiet = await openRawSocket(app.url, `/api/v1/chat/ws/${agent.id}/quiet`)
  quiet.send({ type: 'authorization', api_key: agent.config.api_key })
  const since = performance.now()
  pingedAfter = (async () => {
    while (!quiet.frames().some(({ opcode }) => opcode === OPCODE.ping)) await Bun.sleep(50)
    return performance.now() - since
  })()
})
afterAll(async () => {
  quiet.destroy()
  await app.close()
})

test('WS-03: a sign-in that ends takes its connections along, in the middle of a turn', async () => {
  const server = serveSockets(app, agent.id)
  const { token, call } = await app.join('leaver@example.com', app.ada.clientId, 'member')
  const leaver = await openChat(`${server.url}/leaver`, { type: 'authorization', token, deltas: true })
  const ada = await openChat(`${server.url}/stayer`, { type: 'authorization', token: app.ada.token, deltas: true })
  leaver.send({ message: `/slow 100\n${'word '.repeat(100)}` })
  await leaver.until(({ type }) => type === 'text-delta')
  expect((await call('POST', '/api/v1/auth/logout')).status).toBe(204)
  expect(await leaver.closed).toEqual({ code: 1008, reason: 'Not authorized any more' })
  const seen = leaver.frames.length
  ada.send({ message: 'still here' })
  await ada.until(({ type }) => type === 'run-finished' || type === 'error')
  expect(leaver.frames).toHaveLength(seen)
  await server.stop()
})

test('WS-03: a token is renewed by its owner alone', async () => {
  const server = serveSockets(app, agent.id)
  const ada = await openChat(`${server.url}/renewer`, { type: 'authorization', token: app.ada.token, deltas: true })
  const again = await app.stranger('POST', '/api/v1/auth/login', { email: app.ada.email, password: 'correct horse battery' })
  ada.send({ type: 'authorization', token: again.body.access_token })
  ada.send({ message: 'renewed' })
  await ada.until(({ type }) => type === 'run-finished')
  ada.send({ type: 'authorization', token: app.bob.token })
  expect(await ada.closed).toMatchObject({ code: 1008 })
  await server.stop()
})

const MEGABYTE = 'x'.repeat(1_048_576)

test('WS-05: of an agent that says more than its client reads a bounded part is held, nothing is left out, and it ends with 1013', async () => {
  let made = 0
  const entries = async function* (): AsyncGenerator<LogEvent> {
    for (made = 1; made <= 64; made++) yield { seq: made, type: 'text-delta', data: { text: MEGABYTE } }
  }
  const chat = { ...app.services.chat, stream: async () => ({ runId: 'run', entries: entries() }) }
  const server = serveSockets(app, agent.id, { chat })
  const reader = await openRawSocket(server.url, '/')
  reader.send({ type: 'authorization', api_key: agent.config.api_key, deltas: true })
  reader.send({ message: 'go' })
  while (made < 2) await Bun.sleep(10)
  reader.pause()
  const before = process.memoryUsage.rss()
  // What the kernel takes on a loopback connection is a few megabytes.
  await Bun.sleep(1500)
  const held = made
  console.log(
    `${held} of 64 MiB were made for a client that read none; the process grew by ${Math.round((process.memoryUsage.rss() - before) / 1_048_576)} MiB`,
  )
  expect(held).toBeLessThan(24)
  reader.resume()
  await reader.closed
  const frames = reader.frames()
  const shown = frames.filter(({ opcode }) => opcode === OPCODE.text).map(({ payload }) => JSON.parse(payload.toString()))
  expect(shown.slice(1).map(({ id }) => id)).toEqual(Array.from({ length: shown.length - 1 }, (_, index) => index + 1))
  const last = frames.at(-1)
  expect({ opcode: last?.opcode, code: last?.payload.readUInt16BE(0) }).toEqual({ opcode: OPCODE.close, code: 1013 })
  await server.stop()
})

test('F-26: a process that stops ends idle connections at once and busy ones with their turn, with 1012 and a hint', async () => {
  const server = serveSockets(app, agent.id)
  const first = { type: 'authorization', token: app.ada.token }
  const idle = await openChat(`${server.url}/idle`, { ...first, deltas: true })
  await idle.until(({ type }) => type === 'ready')
  const busy = await openChat(`${server.url}/busy`, first)
  busy.send({ message: '/slow 50\na b c d e f g h' })
  await Bun.sleep(150)
  server.sockets.drain()
  expect(await idle.closed).toEqual({ code: 1012, reason: expect.stringMatching(/^The server restarts, come back in [1-5] s$/) })
  expect(await busy.closed).toMatchObject({ code: 1012 })
  expect(busy.frames).toMatchObject([{ message: { content: { parts: [{ text: 'Echo: a b c d e f g h' }] } } }, { turn_complete: true }])
  const late = await openChat(`${server.url}/late`, first)
  expect(late.socket.readyState).not.toBe(WebSocket.OPEN)
  await server.stop()
})

test('a quiet connection hears a ping within ten seconds', async () => {
  expect(await pingedAfter).toBeLessThan(10_500)
})

test('F-26: a turn that is cut by the stop is told so, and still ends', async () => {
  const server = serveSockets(app, agent.id)
  const busy = await openChat(`${server.url}/cut`, { type: 'authorization', token: app.ada.token })
  busy.send({ message: `/slow 100\n${'word '.repeat(100)}` })
  await Bun.sleep(300)
  server.sockets.drain()
  app.services.interrupt()
  expect(await busy.closed).toMatchObject({ code: 1012 })
  expect(busy.frames.at(-2)).toMatchObject({ error: { status: 503 } })
  expect(busy.frames.at(-1)).toSatisfy(isTurnComplete)
  await server.stop()
})
