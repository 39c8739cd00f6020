import { afterAll, afterEach, expect, test } from 'bun:test'
import { createServer, type Socket } from 'node:net'
import postgres from 'postgres'
import { services } from '../support/services'
import { TcpProxy } from '../support/tcp-proxy'

/** The faults of postgres.js 3.4.9 that db/patches mends, on the driver alone. Drop the patch when a release passes these without it. */
const server = new URL(services.databaseUrl)
const proxy = await TcpProxy.start({ host: server.hostname, port: Number(server.port || 5432) })
const opened: postgres.Sql[] = []

afterEach(async () => {
  await Promise.all(opened.splice(0).map((sql) => sql.end({ timeout: 0 })))
})
afterAll(() => proxy.refuse())

function open(...ports: number[]) {
  const sql = postgres({
    host: ports.map((port) => `127.0.0.1:${port}`).join(','),
    user: decodeURIComponent(server.username),
    password: decodeURIComponent(server.password),
    database: server.pathname.slice(1),
    max: 1,
    fetch_types: false,
    onnotice: () => undefined,
  })
  opened.push(sql)
  return sql
}

const codeOf = (call: PromiseLike<unknown>) =>
  Promise.race([
    Promise.resolve(call).then(
      () => 'none',
      (error: { code?: string }) => String(error.code),
    ),
    Bun.sleep(2000).then(() => 'still pending'),
  ])

test('a query ends when the server accepts the connection and closes it (porsager/postgres #1193, #1188)', async () => {
  let accepted = 0
  const closing = createServer((socket: Socket) => {
    accepted++
    socket.end()
  })
  const port = await new Promise<number>((resolve) => {
    closing.listen(0, '127.0.0.1', () => resolve((closing.address() as { port: number }).port))
  })
  expect(await codeOf(open(port)`select 1`)).toBe('CONNECTION_CLOSED')
  expect(accepted).toBe(1)
  expect(await codeOf(open(port, port)`select 1`)).toBe('CONNECTION_CLOSED')
  expect(accepted).toBe(3)
  closing.close()
})

test('a connection closed inside a transaction is an error of the transaction, not an uncaught one, and its place in the pool is kept (#1066, #1208)', async () => {
  const sql = open(proxy.port)
  const transaction = sql.begin(async (tx) => {
    await tx`select 1`
    proxy.finish()
    await Bun.sleep(50)
    await tx`select 2`
  })
  expect(await codeOf(transaction)).toBe('CONNECTION_CLOSED')
  await Bun.sleep(150) // `begin` fails with the connection, while its work still goes on
  expect(await codeOf(sql`select 3`)).toBe('none')
})

test('a connection closed under reserve() is an error of the next query, not an uncaught one', async () => {
  const sql = open(proxy.port)
  await sql`select 1`
  const reserved = await sql.reserve()
  proxy.finish()
  await Bun.sleep(50)
  expect(await codeOf(reserved`select 2`)).toBe('CONNECTION_CLOSED')
})

test('failed queries leave nothing behind', async () => {
  const sql = open(proxy.port)
  const fail = async (times: number) => {
    for (let i = 0; i < times; i++) await codeOf(sql.unsafe(`select ${'x'.repeat(20_000)}${i}`))
    Bun.gc(true)
    return process.memoryUsage().heapUsed
  }
  const before = await fail(50)
  expect((await fail(500)) - before).toBeLessThan(5_000_000)
})
