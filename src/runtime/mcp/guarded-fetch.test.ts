import { expect, test } from 'bun:test'
import type { Outbound } from '~/platform/outbound'
import { createGuardedFetch } from './guarded-fetch'

const SERVER = { transport: 'http' as const, url: 'https://mcp.example/mcp', headers: { 'x-key': 'secret', 'Mcp-Session-Id': 'mine' } }

function setUp(answer: () => Response = () => new Response('{}'), { streams = true } = {}) {
  const sent: { url: string; headers: Headers }[] = []
  const outbound = {
    async fetch(url, init) {
      sent.push({ url: String(url), headers: new Headers(init?.headers) })
      return answer()
    },
  } as Partial<Outbound> as Outbound
  return { sent, guard: createGuardedFetch({ outbound, server: SERVER, streams, timeoutMs: 1000, streamMs: 1000, maxBytes: 100 }) }
}

test("MCP-07: another origin is asked nothing, and so learns nothing of the server's headers", async () => {
  const { sent, guard } = setUp()
  for (const url of ['https://evil.example/mcp', 'http://mcp.example/mcp', 'https://mcp.example:8443/mcp'])
    await expect(guard.fetch(url)).rejects.toMatchObject({ problem: 'url-not-allowed' })
  expect(sent).toEqual([])
  expect([guard.takeFault()?.problem, guard.takeFault()]).toEqual(['url-not-allowed', undefined])
})

test('the configured headers go along, but for those of the protocol', async () => {
  const { sent, guard } = setUp()
  await guard.fetch('https://mcp.example/other', { method: 'POST', headers: { 'mcp-session-id': 'of the protocol' } })
  expect([sent[0]?.headers.get('x-key'), sent[0]?.headers.get('mcp-session-id')]).toEqual(['secret', 'of the protocol'])
})

test('a redirect is refused', async () => {
  const { guard } = setUp(() => new Response(null, { status: 307, headers: { location: 'https://mcp.example/elsewhere' } }))
  await expect(guard.fetch(SERVER.url, { method: 'POST' })).rejects.toMatchObject({ problem: 'url-not-allowed' })
})

test('a stream may bring any number of events, and none without end', async () => {
  const read = (pieces: string[]) =>
    setUp(() => new Response(streamOf(pieces)))
      .guard.fetch(SERVER.url)
      .then((response) => response.text())
  const event = ['data: ', 'x'.repeat(80), '\r\n\r\n']
  expect(await read(Array(20).fill(event).flat())).toBe(event.join('').repeat(20))
  await expect(read(['data: ', 'x'.repeat(80), '\r\n', 'data: ', 'x'.repeat(80)])).rejects.toMatchObject({ problem: 'upstream-error' })
})

const streamOf = (pieces: string[]) =>
  new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(Buffer.from(piece))
      controller.close()
    },
  })
