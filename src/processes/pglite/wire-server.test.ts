import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { launchPostgres } from '~/processes/embedded-postgres'
import { serving, startPglite } from '../../../tests/support/pglite'

let server: Awaited<ReturnType<typeof startPglite>>
const open: postgres.Sql[] = []
const folder = mkdtempSync(join(tmpdir(), 'evo-wire-'))

beforeAll(async () => {
  server = await startPglite(folder)
})
afterAll(async () => {
  await Promise.all(open.map((sql) => sql.end({ timeout: 1 })))
  server.process.kill('SIGKILL')
  await server.process.exited
  rmSync(folder, { recursive: true, force: true })
})

/** A client with `max` connections of its own. */
function client(max = 1, options: postgres.Options<Record<string, never>> = {}) {
  const sql = postgres(server.url, { max, onnotice: () => undefined, ...options })
  open.push(sql)
  return sql
}

const code = (work: Promise<unknown>) =>
  work.then(
    () => 'no error',
    (error) => error.code ?? error.message,
  )

for (const prepare of [true, false])
  test(`twenty connections at once each get the answers to their own parameters (prepare: ${prepare})`, async () => {
    const sql = client(20, { prepare })
    const asked = Array.from({ length: 2000 }, (_, index) => index)
    const answered = await Promise.all(
      asked.map(async (index) =>
        index % 7 === 0 ? code(sql`select ${index}::int / 0`) : (await sql`select ${index}::int as a, ${`t${index}`} as b`)[0],
      ),
    )
    expect(answered).toEqual(asked.map((index) => (index % 7 === 0 ? '22012' : { a: index, b: `t${index}` })))
  })

test('a transaction is alone: read, think, write by eight connections loses no update', async () => {
  const sql = client(8)
  await sql`create table counters (n int)`
  await sql`insert into counters values (0)`
  const increment = () =>
    sql.begin(async (tx) => {
      const [row] = await tx`select n from counters`
      await Bun.sleep(Math.random() * 3)
      await tx`update counters set n = ${row?.n + 1}`
    })
  await Promise.all([...Array.from({ length: 60 }, increment), ...Array.from({ length: 60 }, () => sql`select ${1}::int`)])
  expect(await sql`select n from counters`).toMatchObject([{ n: 60 }])
})

test('a failed transaction is rolled back and leaves the session to the others', async () => {
  const sql = client(4)
  await sql`create table kept (n int)`
  const failing = sql.begin(async (tx) => {
    await tx`insert into kept values (1)`
    await tx`select 1 / 0`
  })
  const other = client()
  expect(await Promise.all([code(failing), other`select 1 as one`])).toMatchObject(['22012', [{ one: 1 }]])
  expect(await sql`select * from kept`).toHaveLength(0)
})

test('a connection that dies in a transaction takes it along', async () => {
  const sql = client(2)
  await sql`create table orphans (n int)`
  const socket = await rawConnection()
  socket.send(frame('Q', 'begin; insert into orphans values (1)\0'))
  await socket.until('Z')
  const waiting = sql`select count(*)::int as n from orphans`
  await Bun.sleep(50)
  socket.destroy()
  expect(await waiting).toMatchObject([{ n: 0 }])
})

test('a connection that dies between Parse and Sync leaves no failed state', async () => {
  const sql = client()
  const socket = await rawConnection()
  socket.send(Buffer.concat([frame('P', '\0select nonsense\0\0\0'), frame('H', '')]))
  await socket.until('E')
  const waiting = sql`select ${5}::int as n`
  await Bun.sleep(50)
  socket.destroy()
  expect(await waiting).toMatchObject([{ n: 5 }])
})

test('one name for two prepared statements of two connections is two statements, and they go with their connection', async () => {
  const [one, two] = [await rawConnection(), await rawConnection()]
  const prepare = (sql: string) => Buffer.concat([frame('P', `s1\0${sql}\0\0\0`), frame('S', '')])
  const run = Buffer.concat([frame('B', '\0s1\0\0\0\0\0\0\0'), frame('E', '\0\0\0\0\0'), frame('S', '')])
  one.send(prepare("select 'from one'"))
  await one.until('Z')
  two.send(prepare("select 'from two'"))
  await two.until('Z')
  one.send(run)
  two.send(run)
  expect(String(await one.until('D'))).toContain('from one')
  expect(String(await two.until('D'))).toContain('from two')
  one.destroy()
  two.destroy()
  await Bun.sleep(50)
  expect(await client()`select name from pg_prepared_statements where statement ~ '^select .from (one|two)'`.simple()).toHaveLength(0)
})

test("SET, SET ROLE and startup settings are their connection's alone", async () => {
  const plain = client()
  const tokyo = client(1, { connection: { TimeZone: 'Asia/Tokyo', application_name: 'test', statement_timeout: 5000 } })
  const changed = client()
  await plain`create role tenant`
  await changed.unsafe("set timezone to 'Europe/Paris'; set role tenant")
  const seen = async (sql: postgres.Sql) => (await sql`select current_setting('TimeZone') as zone, current_user as name`)[0]
  for (let round = 0; round < 3; round++) {
    expect(await seen(plain)).toEqual({ zone: 'UTC', name: 'postgres' })
    expect(await seen(changed)).toEqual({ zone: 'Europe/Paris', name: 'tenant' })
    expect(await seen(tokyo)).toEqual({ zone: 'Asia/Tokyo', name: 'postgres' })
  }
  for (const value of ['a', 'b']) await changed`select set_config('app.tenant', ${value}, false)`
  expect(await plain`select current_setting('app.tenant', true) as tenant`).not.toMatchObject([{ tenant: 'b' }])
  expect(await changed`select current_setting('app.tenant') as tenant`).toMatchObject([{ tenant: 'b' }])
  await changed.end()
  expect(await seen(plain)).toEqual({ zone: 'UTC', name: 'postgres' })
})

test('a startup setting that PostgreSQL refuses is refused, for that connection only', async () => {
  const socket = await rawConnection('TimeZone\0Moon/Tycho\0')
  socket.send(frame('Q', 'select 1\0'))
  expect(String(await socket.until('E'))).toContain('22023')
  await socket.closed
  expect(await client()`select 1 as one`).toMatchObject([{ one: 1 }])
})

test('only the right password opens the one database', async () => {
  const refused = async (change: (url: URL) => void) => {
    const url = new URL(server.url)
    change(url)
    const sql = postgres(url.href, { max: 1 })
    open.push(sql)
    return code(sql`select 1`)
  }
  expect(
    await refused((url) => {
      url.password = 'wrong'
    }),
  ).toBe('28P01')
  expect(
    await refused((url) => {
      url.pathname = '/other'
    }),
  ).toBe('3D000')
})

test('TLS is declined, so that a client which only prefers it goes on', async () => {
  expect(await client(1, { ssl: 'prefer' })`select 1 as one`).toMatchObject([{ one: 1 }])
})

test('COPY FROM STDIN is refused and ends neither the transaction of another nor the server', async () => {
  expect(await code(client()`copy counters from stdin`.simple())).toBe('0A000')
  expect(await code(client()`copy counters from stdin`)).toBe('0A000')
  expect(await client()`select 1 as one`).toMatchObject([{ one: 1 }])
})

test('20 MB go in and out as one value, also while others work', async () => {
  const sql = client(4)
  const large = 'x'.repeat(20_000_000)
  const [[row], ...small] = await Promise.all([sql`select ${large} as text`, ...Array.from({ length: 50 }, () => sql`select 1 as one`)])
  expect(row?.text.length).toBe(large.length)
  expect(small).toHaveLength(50)
})

test('bytes that are no protocol end their own connection only', async () => {
  for (const bytes of [Buffer.alloc(64, 0xff), Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([0, 0, 0, 8, 0, 9, 0, 0])]) {
    const socket = rawSocket()
    socket.send(bytes)
    await socket.closed
  }
  for (const bytes of [frame('?', ''), Buffer.from([0x51, 0xff, 0xff, 0xff, 0xff]), Buffer.from([0x51, 0, 0, 0, 1])]) {
    const socket = await rawConnection()
    socket.send(bytes)
    await socket.closed
  }
  expect(await client()`select 1 as one`).toMatchObject([{ one: 1 }])
})

test('messages may arrive byte by byte', async () => {
  const socket = await rawConnection()
  for (const byte of frame('Q', "select 'slow'\0")) {
    socket.send(Buffer.from([byte]))
    await Bun.sleep(1)
  }
  expect(String(await socket.until('Z'))).toContain('slow')
  socket.destroy()
})

test('what was committed survives kill -9 of the database process', async () => {
  const sql = client()
  await sql`create table durable (n int)`
  await sql`insert into durable select generate_series(1, 1000)`
  const uncommitted = sql.begin(async (tx) => {
    await tx`insert into durable values (1001)`
    server.process.kill('SIGKILL')
    await tx`select 1`
  })
  await code(uncommitted)
  await server.process.exited
  server.process = launchPostgres(server.options, Bun.env)
  await serving(server.process)
  expect(await client()`select count(*)::int as n from durable`).toMatchObject([{ n: 1000 }])
})

function frame(type: string, body: string): Buffer {
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, Buffer.from(body)])
}

function rawSocket() {
  const socket = connect({ port: server.options.port, host: '127.0.0.1' })
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
  socket.on('error', () => undefined)
  let received = Buffer.alloc(0)
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, Buffer.from(chunk)])
  })
  return {
    closed,
    send: (bytes: Buffer) => socket.write(bytes),
    destroy: () => socket.destroy(),
    /** All that came up to the first message of this type. */
    async until(type: string) {
      for (let tries = 0; tries < 500; tries++) {
        let at = 0
        while (at + 5 <= received.length) {
          const end = at + 1 + received.readInt32BE(at + 1)
          if (end > received.length) break
          if (String.fromCharCode(received[at] ?? 0) === type) {
            const all = received.subarray(0, end)
            received = received.subarray(end)
            return all
          }
          at = end
        }
        await Bun.sleep(10)
      }
      throw new Error(`no ${type}`)
    },
  }
}

async function rawConnection(settings = '') {
  const socket = rawSocket()
  const body = Buffer.from(`\0\0\0\0\0\x03\0\0user\0postgres\0database\0postgres\0${settings}\0`)
  body.writeInt32BE(body.length)
  socket.send(body)
  socket.send(frame('p', `${server.options.password}\0`))
  await socket.until('Z')
  return socket
}
