import { afterAll, afterEach, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import postgres from 'postgres'
import { startSideBySide } from '../support/side-by-side'
import { until } from '../support/until'
import { type RunningServer, startServer } from './running-server'

setDefaultTimeout(120_000)

const folder = mkdtempSync(join(tmpdir(), 'evo-start-'))
const dataDir = join(folder, 'data')
const servers: RunningServer[] = []
afterEach(() => {
  for (const server of servers.splice(0)) for (const { pid } of server.processes()) killNow(pid)
})
const native = await startSideBySide('whether a start waits for a database that takes no changes')
afterAll(async () => {
  await native.stop()
  rmSync(folder, { recursive: true, force: true })
})

function start(env: Record<string, string> = {}) {
  const server = startServer({ EVO_DATA_DIR: dataDir, ...env })
  servers.push(server)
  return server
}

/** In the title of the server itself, not of its keeper. */
const REDIS = 'redis-server 127.0.0.1'

function killNow(pid: number) {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error // else it was faster
  }
}

const secrets = () => JSON.parse(readFileSync(join(dataDir, 'secrets.json'), 'utf8'))
const sqlOf = (server: RunningServer) =>
  postgres(`postgres://postgres:${secrets().postgresPassword}@${server.place('PostgreSQL')}/postgres`, {
    max: 1,
    onnotice: () => undefined,
  })
const redisOf = (server: RunningServer) => new Redis(`redis://:${secrets().redisPassword}@${server.place('Redis')}`)

async function stop(server: RunningServer) {
  server.kill('SIGTERM')
  expect(await server.exited()).toBe(0)
  expect(server.processes()).toEqual([])
}

/** Ended with exit code 1 and one line that says why, and left nothing. */
async function refusal(server: RunningServer, neighbour?: RunningServer) {
  const code = await server.exited()
  const spared = new Set(neighbour?.processes().map(({ pid }) => pid))
  const left = server.processes().filter(({ pid }) => !spared.has(pid))
  expect({ code, lines: server.err().trim().split('\n').length, left }).toEqual({ code: 1, lines: 1, left: [] })
  return server.err()
}

test('in an empty folder it reaches ready, says where, and SIGTERM ends all of it with 0', async () => {
  const server = await start({ EVO_API_PROCESSES: '2' }).ready()
  expect(server.out()).toContain('/docs')
  expect(server.out()).toContain('/api/v1/auth/login')
  expect((await fetch(`${server.url()}/livez`)).status).toBe(200)
  expect(server.pidsOf(' api-')).toHaveLength(2)
  await stop(server)
})

test('generated secrets are for their owner only', () => {
  expect(statSync(join(dataDir, 'secrets.json')).mode & 0o777).toBe(0o600)
  expect(statSync(dataDir).mode & 0o077).toBe(0)
})

test('data and secrets outlive a stop, and kill -9 of every process at once', async () => {
  const first = await start().ready()
  const before = secrets()
  await write(first, 'stopped')
  await stop(first)

  const second = await start().ready()
  await write(second, 'killed')
  await Bun.sleep(1100) // Redis writes to disk once a second
  for (const { pid } of second.processes()) killNow(pid)
  await second.exited()

  const third = await start().ready()
  expect(secrets()).toEqual(before)
  const sql = sqlOf(third)
  expect((await sql`select name from kept order by name`).map(({ name }) => name)).toEqual(['killed', 'stopped'])
  await sql.end()
  const redis = redisOf(third)
  expect(await redis.mget('stopped', 'killed')).toEqual(['yes', 'yes'])
  redis.disconnect()
  await stop(third)
})

async function write(server: RunningServer, name: string) {
  const sql = sqlOf(server)
  await sql`create table if not exists kept (name text)`
  await sql`insert into kept values (${name})`
  await sql.end()
  const redis = redisOf(server)
  await redis.set(name, 'yes')
  redis.disconnect()
}

test('a killed API, worker, PostgreSQL or Redis process is replaced, and clients go on', async () => {
  const server = await start().ready()
  for (const name of [' api-1-', ' worker-', ' postgres-', REDIS]) {
    const [old = 0] = server.pidsOf(name)
    expect(old).toBeGreaterThan(1)
    process.kill(old, 'SIGKILL')
    await until(() => server.pidsOf(name).some((pid) => pid !== old), 10_000)
  }
  const isReady = () =>
    fetch(`${server.url()}/readyz`).then(
      ({ status }) => status === 200,
      () => false, // the killed process's connections
    )
  for (let ready = false; !ready; ready = await isReady()) await Bun.sleep(100)
  await write(server, 'replaced')
  await stop(server)
})

test('when the supervisor is killed all others end within seconds', async () => {
  const server = await start().ready()
  server.kill('SIGKILL')
  await server.exited()
  await until(() => server.processes().length === 0, 5000)
})

test('after kill -9 of the supervisor the next start works at once, on the same port and data', async () => {
  const server = await start().ready()
  server.kill('SIGKILL')
  await stop(await start({ PORT: new URL(server.url()).port }).ready())
})

test('a redis-server whose supervisor and keeper were both killed is ended by the next start', async () => {
  const server = await start().ready()
  const [redis = 0] = server.pidsOf(REDIS)
  server.kill('SIGSTOP') // it would start another
  for (const pid of server.pidsOf('/bin/sh')) killNow(pid)
  for (const { pid } of server.processes()) if (pid !== redis) killNow(pid)
  await server.exited()
  expect(server.pidsOf(REDIS)).toEqual([redis])
  const next = await start().ready()
  expect(next.pidsOf(REDIS)).toHaveLength(1)
  expect(next.pidsOf(REDIS)).not.toContain(redis)
  await stop(next)
})

test('a second server on the same data is refused', async () => {
  const server = await start().ready()
  expect(await refusal(start(), server)).toContain('another server uses')
  await stop(server)
})

test('SIGTERM to all processes at once, as from systemd, stops them in order all the same', async () => {
  const server = await start().ready()
  process.kill(-server.pid, 'SIGTERM')
  expect(await server.exited()).toBe(0)
  expect(server.out()).not.toContain('PostgreSQL ended')
  expect(server.processes()).toEqual([])
})

test('a second SIGTERM ends everything at once', async () => {
  const server = await start().ready()
  server.kill('SIGTERM')
  server.kill('SIGTERM')
  await server.exited()
  await until(() => server.processes().length === 0, 2000)
})

test('SIGTERM during the start leaves nothing', async () => {
  for (const delayMs of [100, 300, 500]) {
    const server = start()
    await Bun.sleep(delayMs)
    server.kill('SIGTERM')
    await server.exited()
    await until(() => server.processes().length === 0, 3000)
  }
})

test('a taken port is refused before anything is started', async () => {
  const holder = createServer().listen(0, '0.0.0.0')
  await until(() => holder.listening, 1000)
  const { port } = holder.address() as { port: number }
  const fresh = join(folder, 'untouched')
  expect(await refusal(start({ PORT: String(port), EVO_DATA_DIR: fresh }))).toContain(`${port} is taken`)
  expect(() => statSync(fresh)).toThrow()
  holder.close()
})

test('the port of another of our own servers is taken too', async () => {
  const server = await start().ready()
  const { port } = new URL(server.url())
  expect(await refusal(start({ PORT: port, EVO_DATA_DIR: join(folder, 'other') }))).toContain(`${port} is taken`)
  await stop(server)
})

test('bad settings are refused in one line that names them all and no secret', async () => {
  const line = await refusal(start({ BCRYPT_COST: '99', EVO_ROLE: 'king', JWT_SECRET_KEY: 'tooshort' }))
  expect(line).toContain('BCRYPT_COST')
  expect(line).toContain('EVO_ROLE')
  expect(line).toContain('JWT_SECRET_KEY')
  expect(line).not.toContain('tooshort')
})

test('an unreachable database is given up after 5 s, whether it refuses, hangs up or is silent; an API container waits for it instead', async () => {
  const hangingUp = createServer((socket) => socket.destroy()).listen(0)
  const silent = createServer(() => undefined).listen(0)
  const portOf = (server: typeof silent) => (server.address() as { port: number }).port
  await until(() => hangingUp.listening && silent.listening, 1000)
  const container = start({ EVO_ROLE: 'api', DATABASE_URL: 'postgres://user:hunter22@127.0.0.1:1/evo', REDIS_URL: 'redis://127.0.0.1:1' })
  const places = ['127.0.0.1:1', `127.0.0.1:${portOf(hangingUp)}`, `127.0.0.1:${portOf(silent)}`]
  await Promise.all(
    places.map(async (place, index) => {
      const startedAt = Date.now()
      const url = `postgres://user:hunter22@${place}/evo`
      const line = await refusal(start({ DATABASE_URL: url, EVO_DATA_DIR: join(folder, `unreachable-${index}`) }))
      expect(line).toContain(place)
      expect(line).not.toContain('hunter22')
      expect(Date.now() - startedAt).toBeLessThan(10_000)
    }),
  )
  await until(() => container.pidsOf(' api-').length > 0 && container.out().includes('not ready yet'), 15_000)
  expect(container.pidsOf(' worker-')).toEqual([])
  expect(container.out()).not.toContain('hunter22')
  await stop(container)
  hangingUp.close()
  silent.close()
})

test.skipIf(!native.isPossible)('a database that answers, but takes no changes yet, is waited for', async () => {
  const name = `evo_standby_${process.pid}`
  const admin = postgres(native.databaseUrl, { max: 1, onnotice: () => undefined })
  try {
    await admin`create database ${admin(name)}`
    await admin`alter database ${admin(name)} set default_transaction_read_only = on`
    const DATABASE_URL = Object.assign(new URL(native.databaseUrl), { pathname: name }).href
    const server = start({ DATABASE_URL, EVO_DATA_DIR: join(folder, 'standby') })
    await until(() => server.out().includes('not ready yet') || server.err() !== '', 60_000)
    expect(server.err()).toBe('')
    expect(server.out()).toContain('read-only')
    await admin`alter database ${admin(name)} reset default_transaction_read_only`
    await server.ready()
    expect(server.out()).toContain('generated just now')
    expect((await fetch(`${server.url()}/readyz`)).status).toBe(200)
    await stop(server)
  } finally {
    await admin`drop database if exists ${admin(name)} with (force)`
    await admin.end()
  }
})

test('a worker container does nothing before its database is prepared', async () => {
  const nowhere = { DATABASE_URL: 'postgres://user:hunter22@127.0.0.1:1/evo', REDIS_URL: 'redis://127.0.0.1:1' }
  const container = start({ EVO_ROLE: 'worker', ...nowhere })
  // By the second try a worker that does not wait has complained.
  await until(() => container.out().split('not ready yet').length > 2, 30_000)
  expect(container.pidsOf(' worker-')).toHaveLength(1)
  expect(container.out()).not.toContain('"process":"worker-')
  expect(container.out()).not.toContain('"message":"ready"')
  await stop(container)
})

test('a data folder that cannot be used is refused', async () => {
  expect(await refusal(start({ EVO_DATA_DIR: '/proc/evo' }))).toContain('/proc/evo')
})
