import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import type { LookupLike } from '../outbound'
import {
  closeServers,
  countingListener,
  drip,
  expectProblem,
  httpServer,
  listen,
  MIB,
  outbound,
  problemOf,
  problemOfStream,
  rawServer,
  request,
  TEST_CERTIFICATE,
  TEST_KEY,
} from './testing'

let internal: Awaited<ReturnType<typeof countingListener>>
beforeAll(async () => {
  internal = await countingListener('127.0.0.1')
})
afterAll(closeServers)

test.each(['gzip', 'br', 'deflate', 'raw deflate', 'identity'])(
  'a body in %s is decoded to the last byte of its limit and not one further',
  async (encoding) => {
    const text = 'grüße '.repeat(10_000)
    const encode = { gzip: gzipSync, br: brotliCompressSync, deflate: deflateSync, 'raw deflate': deflateRawSync, identity: Buffer.from }[
      encoding
    ] as (text: string) => Buffer
    const server = await httpServer((_, response) =>
      response.writeHead(200, { 'content-encoding': encoding.replace('raw ', '') }).end(encode(text)),
    )
    const length = Buffer.byteLength(text)
    const answer = await server.request({ maxBytes: length })
    expect(answer.text()).toBe(text)
    expect(await (await server.guard.fetch(server.url)).text()).toBe(text)
    await expectProblem('upstream-error', server.request({ maxBytes: length - 1 }))
  },
)

test.each([
  ['an unknown encoding', { 'content-encoding': 'zstd' }, 'x'],
  ['two encodings', { 'content-encoding': 'gzip, gzip' }, gzipSync(gzipSync('x'))],
  ['damaged gzip', { 'content-encoding': 'gzip' }, 'no gzip'],
  ['truncated gzip', { 'content-encoding': 'gzip' }, gzipSync('hello'.repeat(100)).subarray(0, 20)],
])('%s is an upstream error', async (_, headers, body) => {
  const server = await httpServer((_, response) => response.writeHead(200, headers).end(body))
  await expectProblem('upstream-error', server.request())
})

test('gzip that decodes to nothing for ever is cut by the size of what was sent', async () => {
  const empty = gzipSync('')
  const server = await rawServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n')
    const members = Buffer.concat(Array.from({ length: 3000 }, () => empty))
    const more = () => {
      while (!socket.destroyed && socket.write(members)) {}
      socket.once('drain', more)
    }
    more()
  })
  await expectProblem('upstream-error', server.request({ maxBytes: 100_000, timeoutMs: 5000 }))
  await server.closed(1)
})

const OK = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'

test.each<[string, (socket: Socket) => void]>([
  ['never answers', () => {}],
  ['drips headers', (socket) => drip(socket, 'HTTP/1.1 200 OK\r\n', 'x-a: b\r\n')],
  ['drips a body', (socket) => drip(socket, OK, '1\r\na\r\n')],
  ['drips 100 Continue', (socket) => drip(socket, '', 'HTTP/1.1 100 Continue\r\n\r\n')],
  ['stops within the body', (socket) => socket.write(`${OK}1\r\na\r\n`)],
])('a server that %s meets the deadline, and its connection is closed', async (_, behave) => {
  const server = await rawServer(behave)
  const started = performance.now()
  await expectProblem('upstream-timeout', server.request({ timeoutMs: 200 }))
  const guard = outbound({ allow: ['127.0.0.1'], defaults: { timeoutMs: 200, maxBytes: MIB } })
  expect(await guard.fetch(server.url).then(({ body }) => problemOfStream(body), problemOf)).toBe('upstream-timeout')
  expect(performance.now() - started).toBeLessThan(1500)
  await server.closed(2)
})

test('a body that nobody reads ends at the deadline, or when the other side resets it, and harms nothing', async () => {
  const guard = outbound({ allow: ['127.0.0.1'], defaults: { timeoutMs: 200, maxBytes: MIB } })
  for (const behave of [
    (socket: Socket) => drip(socket, OK, '1\r\na\r\n'),
    (socket: Socket) => socket.write(OK, () => setTimeout(() => socket.resetAndDestroy(), 50)),
  ]) {
    const server = await rawServer(behave)
    const answer = await guard.fetch(server.url)
    await Bun.sleep(300)
    await server.closed(1)
    expect(await answer.text().catch(problemOf)).toBe('upstream-timeout')
  }
})

test('the deadline covers the look-up, and a late result of it is not connected to', async () => {
  const before = internal.connections()
  const lookup: LookupLike = async () => {
    await Bun.sleep(200)
    return [{ address: '127.0.0.1', family: 4 }]
  }
  const url = `http://name.example:${internal.port}/`
  await expectProblem('upstream-timeout', request({ url, timeoutMs: 50 }, { lookup, allow: ['127.0.0.1'] }))
  await Bun.sleep(300)
  expect(internal.connections()).toBe(before)
})

test("the caller's signal ends a call at any time, with its own reason", async () => {
  const server = await rawServer((socket) => drip(socket, OK, '1\r\na\r\n'))
  const gone = new Error('the run was cancelled')
  expect(await server.request({ signal: AbortSignal.abort(gone) }).catch((error) => error)).toBe(gone)
  for (const call of [
    (signal: AbortSignal) => server.request({ signal }),
    async (signal: AbortSignal) => (await server.guard.fetch(new Request(server.url, { signal }))).text(),
  ]) {
    const abort = new AbortController()
    setTimeout(() => abort.abort(gone), 100)
    expect(await call(abort.signal).catch((error) => error)).toBe(gone)
  }
  await server.closed(2)
})

test('a closed port, a name that does not resolve, another protocol and broken TLS are told apart by nobody', async () => {
  const closed = await rawServer(() => {})
  closed.server.close()
  const fails: LookupLike = () => Promise.reject(Object.assign(new Error('ENOTFOUND secret.example'), { code: 'ENOTFOUND' }))
  const ssh = await rawServer((socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n'))
  const hangUp = await rawServer((socket) => socket.destroy())
  const switching = await rawServer((socket) =>
    socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
  )
  const oddStatus = await rawServer((socket) => socket.end('HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n'))
  const hugeHeader = await rawServer((socket) => socket.write(`HTTP/1.1 200 OK\r\nx-a: ${'a'.repeat(100_000)}\r\n`))
  const errors = await Promise.all([
    expectProblem('upstream-error', closed.request()),
    expectProblem('upstream-error', request({ url: 'http://secret.example/' }, { lookup: fails })),
    expectProblem('upstream-error', request({ url: 'http://secret.example/' }, { lookup: async () => [] })),
    ...[ssh, hangUp, switching, oddStatus, hugeHeader].map((server) => expectProblem('upstream-error', server.request())),
    expectProblem('upstream-error', request({ url: ssh.url.replace('http', 'https') }, { allow: ['127.0.0.1'] })),
  ])
  expect(new Set(errors.map(({ message }) => message)).size).toBe(1)
})

test('a response that breaks off is an error, never a short success', async () => {
  const short = await rawServer((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc'))
  const unended = await rawServer((socket) => socket.end(`${OK}3\r\nabc\r\n`))
  await expectProblem('upstream-error', short.request())
  await expectProblem('upstream-error', unended.request())
  const { body } = await short.guard.fetch(short.url)
  expect(await problemOfStream(body)).toBe('upstream-error')
})

test('what is sent is what was asked for, plus our name; every call has a connection of its own', async () => {
  const server = await httpServer((_, response) => response.end('{}'))
  const url = `${server.url}a?b=c`
  await server.guard.request({
    url,
    method: 'POST',
    headers: { 'X-A': 'b' },
    body: '{"ü":1}',
    idempotencyKey: 'k1',
    timeoutMs: 1000,
    maxBytes: 100,
  })
  await server.guard.request({ url, headers: { 'Idempotency-KEY': 'mine' }, idempotencyKey: 'k2', timeoutMs: 1000, maxBytes: 100 })
  await server.guard.fetch(url, { method: 'PUT', body: new URLSearchParams({ a: 'b' }) }).then((answer) => answer.text())
  await server.guard.fetch(url, { method: 'POST' }).then((answer) => answer.text())
  const [post, get, put, empty] = server.seen
  expect(post).toMatchObject({ method: 'POST', url: '/a?b=c', body: '{"ü":1}' })
  expect(post?.headers).toEqual({
    host: new URL(server.url).host,
    connection: 'close',
    'accept-encoding': 'gzip, deflate, br',
    'content-length': '8',
    'idempotency-key': 'k1',
    'user-agent': 'EvoAI/1.0',
    'x-a': 'b',
  })
  expect(get?.headers['idempotency-key']).toBe('k2')
  expect(put).toMatchObject({ method: 'PUT', body: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8' } })
  expect(empty?.headers).toMatchObject({ 'content-length': '0' })
  expect(new Set(server.seen.map(({ remotePort }) => remotePort)).size).toBe(4)
})

test('statuses of 400 and above, 204 and HEAD are answers; CONNECT and TRACE are not sent', async () => {
  const server = await httpServer((incoming, response) =>
    response
      .writeHead(Number(incoming.url?.slice(1)), { 'content-encoding': 'gzip' })
      .end(incoming.url === '/204' ? undefined : gzipSync('no')),
  )
  const answer = await server.guard.request({ url: `${server.url}404`, timeoutMs: 1000, maxBytes: 100 })
  expect([answer.status, answer.text(), answer.headers.get('content-encoding')]).toEqual([404, 'no', null])
  expect((await server.guard.request({ url: `${server.url}204`, timeoutMs: 1000, maxBytes: 100 })).body.byteLength).toBe(0)
  expect((await server.guard.request({ url: `${server.url}500`, method: 'HEAD', timeoutMs: 1000, maxBytes: 100 })).status).toBe(500)
  expect((await server.guard.fetch(`${server.url}204`)).body).toBeNull()
  for (const method of ['CONNECT', 'TRACE', 'get', 'X\r\nY'])
    await expectProblem('validation-failed', server.guard.request({ url: server.url, method, timeoutMs: 1000, maxBytes: 100 }))
})

test('a streamed body arrives as it is sent, and leaving it closes the connection', async () => {
  let release = () => {}
  const server = await rawServer((socket) => {
    socket.write(`${OK}3\r\none\r\n`)
    release = () => socket.write('3\r\ntwo\r\n')
  })
  const reader = (await server.guard.fetch(server.url)).body?.getReader()
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('one')
  release()
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('two')
  await reader?.cancel()
  await server.closed(1)
})

test("TLS is verified against the URL's host, whatever the environment says", async () => {
  const server = createTlsServer({ key: TEST_KEY, cert: TEST_CERTIFICATE }, (_, response) => response.end('hello'))
  const port = await listen(server, '127.0.0.1')
  const lookup: LookupLike = async () => [{ address: '127.0.0.1', family: 4 }]
  const reach = (host: string, ca?: string) =>
    request({ url: `https://${host}:${port}/` }, { allow: ['127.0.0.1'], lookup, ...(ca ? { ca } : {}) }).then(
      ({ status }) => status,
      problemOf,
    )
  const { NODE_TLS_REJECT_UNAUTHORIZED: before } = process.env
  try {
    expect(await reach('good.test', TEST_CERTIFICATE)).toBe(200)
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
    expect(await reach('bad.test', TEST_CERTIFICATE)).toBe('upstream-error')
    expect(await reach('127.0.0.1', TEST_CERTIFICATE)).toBe('upstream-error')
    expect(await reach('good.test')).toBe('upstream-error')
  } finally {
    if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
    else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before
  }
})
