import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { DomainError } from './errors'
import { createLog, silentLog } from './log'
import { createOutbound, type LookupLike } from './outbound'
import {
  closeServers,
  countingListener,
  expectProblem,
  httpServer,
  MIB,
  outbound,
  problemOf,
  problemOfStream,
  rawServer,
  request,
} from './outbound/testing'

/** Stands for a service of ours: nothing may connect to it. */
let internal: Awaited<ReturnType<typeof countingListener>>
beforeAll(async () => {
  internal = await countingListener('127.0.0.1')
})
afterAll(closeServers)

const expectRefused = async (url: string) => {
  const before = internal.connections()
  const lookup: LookupLike = async () => [{ address: '127.0.0.1', family: 4 }]
  const guard = outbound({ lookup, allowedPorts: url.includes(`:${internal.port}/`) ? [internal.port] : [80, 443] })
  expect(() => guard.check(url)).toThrow(DomainError)
  await expectProblem('url-not-allowed', guard.request({ url, timeoutMs: 2000, maxBytes: MIB }))
  await expectProblem('url-not-allowed', guard.fetch(url))
  expect(internal.connections()).toBe(before)
}

describe('addresses and schemes', () => {
  test.each([
    'file:///etc/hostname',
    'data:text/plain,hello',
    'blob:http://example.com/1',
    'ftp://example.com/',
    'gopher://example.com/',
    's3://bucket/key',
    'javascript:alert(1)',
    'ws://example.com/',
    '//example.com/',
    'example.com',
    '',
  ])('SSRF-01 only http and https leave: %p', (url) => expectRefused(url))

  test.each([
    'http://127.0.0.1',
    'http://127.1',
    'http://2130706433',
    'http://0x7f000001',
    'http://0177.0.0.1',
    'http://0',
    'http://[::1]',
    'http://[::]',
    'http://[::ffff:127.0.0.1]',
    'http://[::127.0.0.1]',
    'http://[64:ff9b::127.0.0.1]',
    'http://localhost',
    'http://localhost.',
    'http://LOCALHOST',
    'http://api.localhost',
    'http://127.0.0.1.',
    'http://127.0.0.1',
    'http://①②⑦.0.0.1',
    'http://127。0。0。1',
  ])('SSRF-02 loopback is refused however it is spelt: %p', (base) => expectRefused(`${base}:${internal.port}/`))

  test.each([
    '10.0.0.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '100.100.100.200',
    '0.0.0.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '192.0.0.1',
    '192.0.2.1',
    '198.18.0.1',
    '198.51.100.1',
    '203.0.113.1',
    '192.88.99.1',
    '168.63.129.16',
    '[fc00::1]',
    '[fd00:ec2::254]',
    '[fe80::1]',
    '[fec0::1]',
    '[ff02::1]',
    '[100::1]',
    '[2001:db8::1]',
    '[3fff::1]',
    '[2001:2::1]',
    '[2001:0:7f00:1::]',
    '[2002:7f00:1::1]',
    '[64:ff9b:1::a00:1]',
    '[64:ff9b::808:808]',
    '[::ffff:8.8.8.8]',
    '[::8.8.8.8]',
    '[5f00::1]',
    '[4000::1]',
  ])('SSRF-03 no special-purpose address is reached, as a literal or behind a name: %s', async (host) => {
    await expectRefused(`http://${host}/`)
    const address = host.replace(/[[\]]/g, '')
    const lookup: LookupLike = async () => [{ address, family: address.includes(':') ? 6 : 4 }]
    await expectProblem('url-not-allowed', request({ url: 'http://name.example/' }, { lookup }))
  })

  test('SSRF-03 an address with a zone is one of this machine, whatever its number', async () => {
    const lookup: LookupLike = async () => [{ address: '2606:4700::1111%eth0', family: 6 }]
    await expectProblem('url-not-allowed', outbound({ lookup }).checkResolved('http://name.example/'))
  })

  test.each([
    'http://8.8.8.8/',
    'https://[2606:4700::1111]/',
    'http://example.com/',
    'https://example.com.:443/a?b#c',
    'http://xn--bcher-kva.example/',
  ])('a public address or name on the usual port may be saved: %s', (url) => expect(outbound().check(url)).toBeInstanceOf(URL))

  test('SSRF-04 a name with a private address is refused, also when a public one stands beside it', async () => {
    const before = internal.connections()
    for (const found of [['127.0.0.1'], ['8.8.8.8', '127.0.0.1'], ['127.0.0.1', '8.8.8.8'], ['8.8.8.8', '::1']]) {
      const lookup: LookupLike = async () => found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
      const url = `http://mixed.example:${internal.port}/`
      await expectProblem('url-not-allowed', request({ url }, { lookup, allowedPorts: [internal.port] }))
      await expectProblem('url-not-allowed', outbound({ lookup, allowedPorts: [internal.port] }).checkResolved(url))
    }
    expect(internal.connections()).toBe(before)
  })

  test('SSRF-05 a rebinding name never leads to the private address in 100 calls: one look-up each, and its result is connected to', async () => {
    // 127.0.0.2 stands for the public address, 127.0.0.1 for the private one, on the same port.
    const open = await countingListener('127.0.0.2', internal.port)
    const before = internal.connections()
    let lookups = 0
    const lookup: LookupLike = async () => [{ address: `127.0.0.${lookups++ % 2 === 0 ? 2 : 1}`, family: 4 }]
    const guard = outbound({ allow: ['127.0.0.2'], lookup, allowedPorts: [internal.port] })
    const url = `http://rebind.example:${internal.port}/`
    const statuses: unknown[] = []
    for (let call = 0; call < 100; call++) {
      const answer = call % 4 < 2 ? guard.request({ url, timeoutMs: 2000, maxBytes: MIB }) : guard.fetch(url)
      statuses.push(await answer.then(({ status }) => status, problemOf))
    }
    expect(statuses).toEqual(Array.from({ length: 100 }, (_, call) => (call % 2 === 0 ? 204 : 'url-not-allowed')))
    expect([lookups, open.connections(), internal.connections() - before]).toEqual([100, 50, 0])
  })

  test('a port other than 80 and 443 is refused, as is a name that only the own network knows', async () => {
    for (const url of [
      'http://8.8.8.8:22/',
      'http://example.com:6379/',
      'http://example.com:0/',
      'http://redis/',
      'http://a.internal/',
      'http://printer.local/',
    ])
      await expectRefused(url)
  })

  test('credentials in a URL are refused and appear in no error', async () => {
    for (const url of ['http://user:hunter2@example.com/', 'http://hunter2@example.com/', 'http://:hunter2@example.com/'])
      for (const run of [async () => outbound().check(url), () => request({ url }), () => outbound().fetch(url)]) {
        const error = await expectProblem('url-not-allowed', run())
        expect(`${error.message} ${error.stack} ${Bun.inspect(error.cause)}`).not.toContain('hunter2')
      }
  })

  test.each([
    'http://exa\tmple.com/',
    ' http://example.com/',
    'http:\\\\example.com/',
    'http://exa mple.com/',
    `http://example.com/${'a'.repeat(9000)}`,
  ])('a URL that the parser would repair, or an endless one, is refused: %#', (url) => expectRefused(url))

  test('an exception opens what it names and nothing beside it', async () => {
    const { url } = await httpServer((_, response) => response.end('hello'))
    const { port } = new URL(url)
    const local: LookupLike = async () => [{ address: '127.0.0.1', family: 4 }]
    const reach = (url: string, allow: string[]) => request({ url }, { allow, lookup: local }).then(({ status }) => status, problemOf)
    expect(await reach(`http://127.0.0.1:${port}/`, ['127.0.0.0/8'])).toBe(200)
    expect(await reach(`http://127.0.0.1:${port}/`, [`127.0.0.1:${port}`])).toBe(200)
    expect(await reach(`http://127.0.0.1:${port}/`, ['127.0.0.1:1'])).toBe('url-not-allowed')
    expect(await reach(`http://127.0.0.1:${port}/`, ['10.0.0.0/8', '::1', 'localhost'])).toBe('url-not-allowed')
    expect(await reach(`http://tools:${port}/`, ['Tools'])).toBe(200)
    expect(await reach(`http://tools:${port}/`, [`tools:${port}`])).toBe(200)
    expect(await reach(`http://tools:${port}/`, ['tools:1'])).toBe('url-not-allowed')
    expect(await reach(`http://name.example:${port}/`, ['127.0.0.1/32'])).toBe(200)
    expect(await reach(`http://name.example:${port}/`, ['tools'])).toBe('url-not-allowed')
    // What no look-up can open is refused before it, when it is saved.
    expect(() => outbound({ allow: ['127.0.0.1:1'] }).check(`http://name.example:${port}/`)).toThrow('port')
    expect(await reach(`http://sub.tools:${port}/`, ['tools'])).toBe('url-not-allowed')
    for (const entry of ['http://x/', '10.0.0.0/33', 'a b', '[x]', ''])
      expect(() => createOutbound({ allow: [entry], log: silentLog, defaults: { timeoutMs: 1, maxBytes: 1 } })).toThrow('is no host')
  })
})

describe('answers and headers', () => {
  test.each([
    ['x-a', 'one\r\nx-b: two'],
    ['x-a', 'one\ntwo'],
    ['x-a', 'one\0'],
    ['x-a\r\nx-b', 'one'],
    ['x a', 'one'],
    ['', 'one'],
    ['x-a', '☃'],
    ['Host', 'other.example'],
    ['content-length', '5'],
    ['Transfer-Encoding', 'chunked'],
    ['CONNECTION', 'upgrade'],
    ['upgrade', 'h2c'],
    ['te', 'trailers'],
    ['expect', '100-continue'],
    ['proxy-authorization', 'Basic eA=='],
    ['x-a', 'a'.repeat(9000)],
  ])('SSRF-07 a header that forges framing or leaves its line is refused, on save and when sent: %p', async (name, value) => {
    const server = await httpServer((_, response) => response.end())
    const error = await expectProblem('validation-failed', server.request({ headers: { [name]: value } }))
    expect(error.errors?.[0]?.pointer).toStartWith('/headers')
    expect(JSON.stringify(error.errors)).not.toContain('two')
    expect(() => server.guard.checkHeaders({ [name]: value }, '/config/headers')).toThrow('config/headers')
    await expectProblem('validation-failed', server.guard.fetch(server.url, { headers: { [name]: value } }))
    await expectProblem('validation-failed', server.request({ idempotencyKey: 'a\r\nb' }))
    expect(server.seen).toEqual([])
  })

  test('SSRF-07 no more than a hundred headers are sent, nor more than 16 KiB of them', () => {
    const named = (count: number, length: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`x-${at}`, 'a'.repeat(length)]))
    expect(() => outbound().checkHeaders(named(100, 100))).not.toThrow()
    expect(() => outbound().checkHeaders(named(101, 1))).toThrow('Too many or too long headers')
    expect(() => outbound().checkHeaders(named(3, 6000))).toThrow('Too many or too long headers')
  })

  test('a call that fails is logged with its host and no other part of its URL', async () => {
    const lines: string[] = []
    const log = createLog({ level: 'debug', write: (line) => lines.push(line) })
    const lookup: LookupLike = async () => [{ address: '127.0.0.1', family: 4 }]
    await expectProblem('url-not-allowed', request({ url: 'https://name.example/inner/path?of=somebody' }, { log, lookup }))
    expect(lines.join()).toContain('name.example')
    expect(lines.join()).not.toMatch(/inner|somebody/)
  })

  test.each([301, 302, 303, 307, 308, 300])(
    'SSRF-06 a redirect (%i) to a private address or a file is not followed and its text not shown',
    async (status) => {
      const before = internal.connections()
      for (const location of [`http://127.0.0.1:${internal.port}/`, 'file:///etc/hostname']) {
        const server = await httpServer((_, response) => response.writeHead(status, { location }).end('see the secret'))
        const error = await expectProblem('url-not-allowed', server.request())
        expect(error.message).not.toMatch(/secret|127|file/)
        const answer = await server.guard.fetch(server.url)
        expect([answer.status, answer.headers.get('location'), answer.redirected]).toEqual([status, location, false])
      }
      expect(internal.connections()).toBe(before)
    },
  )

  test('SSRF-08 a 200 KB gzip of 200 MB is cut at 1 MiB, and memory grows by no more than 8 MiB', async () => {
    const bomb = gzipSync(Buffer.alloc(200 * MIB), { level: 9 })
    expect(bomb.byteLength).toBeLessThan(210_000)
    const server = await httpServer((_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb))
    const cut = async () => {
      const error = await expectProblem('upstream-error', server.request({ maxBytes: MIB }))
      expect(error.message).toContain('larger')
    }
    for (let warmUp = 0; warmUp < 10; warmUp++) await cut()
    for (let round = 0; round < 10; round++) {
      Bun.gc(true)
      const before = process.memoryUsage.rss()
      await cut()
      const growth = (process.memoryUsage.rss() - before) / MIB
      expect(growth).toBeLessThan(8)
    }
  })

  test('SSRF-08 an endless body is cut at 1 MiB and its connection closed, streamed or whole', async () => {
    const server = await rawServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      const more = () => {
        while (!socket.destroyed && socket.write(Buffer.alloc(65_536, 'a'))) {}
        socket.once('drain', more)
      }
      more()
    })
    await expectProblem('upstream-error', server.request({ maxBytes: MIB }))
    const { body } = await server.guard.fetch(server.url)
    let read = 0
    const error = await problemOfStream(body, (chunk) => (read += chunk.byteLength))
    expect(error).toBe('upstream-error')
    expect(read).toBeGreaterThan(MIB / 2)
    expect(read).toBeLessThanOrEqual(MIB)
    await server.closed(2)
  })
})
