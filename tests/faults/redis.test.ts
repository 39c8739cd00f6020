import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '~/config'
import { createHealth } from '~/features/system/health'
import { createLog, silentLog } from '~/platform/log'
import { createRelay, type Relay } from '~/platform/outbox/relay'
import { GROUP, streamKey } from '~/platform/outbox/streams'
import type { OutboxKind } from '~/platform/outbox/table'
import { createRedis, type RedisStore, RedisUnavailable, results, script } from '~/platform/redis'
import { embeddedRedisUrl } from '~/processes/embedded-redis'
import { findRedis } from '~/processes/find-redis'
import { demandLastingRedis } from '~/processes/lasting-redis'
import type { Launched } from '~/processes/launched'
import { findFreePort } from '~/processes/ports'
import { StartError } from '~/processes/start-error'
import { type Background, endProcess, openBackground } from '../support/background'
import { bringUpRedis } from '../support/redis'
import { until } from '../support/until'

setDefaultTimeout(60_000)

const folder = mkdtempSync(join(tmpdir(), 'evo-redis-faults-'))
const settings = { dataDir: folder, port: await findFreePort(), password: 'only-for-tests', persistent: false }
const url = embeddedRedisUrl(settings)
let server: Launched
let isUp = false
/** What fails at once takes a part of it, what waits for an answer not twice as long, on a busy machine too. */
const COMMAND_MS = 200

async function startRedis() {
  server = await bringUpRedis({ ...settings, binary: await findRedis({ mayInstall: true, log: silentLog }) })
  isUp = true
}

/** Everything it held is gone. */
async function killRedis() {
  isUp = false
  server.kill('SIGKILL')
  await server.exited
}

/** The server and its keeper, which are one process group. A signal takes a moment to be heeded. */
async function freeze() {
  process.kill(-server.pid, 'SIGSTOP')
  await Bun.sleep(50)
}

const thaw = () => process.kill(-server.pid, 'SIGCONT')

beforeAll(startRedis)
/** What fails half way is told once, and not by the tests behind it. */
beforeEach(async () => {
  if (!isUp) await startRedis()
})
afterAll(async () => {
  await killRedis()
  rmSync(folder, { recursive: true, force: true })
})

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; outcome: T | Error }> {
  const startedAt = performance.now()
  const outcome = await work().catch((error: Error) => error)
  return { ms: performance.now() - startedAt, outcome }
}

/** Without a wait for anything: before the event loop turns, however busy the machine is. */
async function expectRefusedAtOnce(redis: RedisStore) {
  const call = redis.run((connection) => connection.get('a')).catch((error: Error) => error)
  const turn = new Promise((resolve) => setImmediate(resolve, 'the event loop turned first'))
  expect(await Promise.race([call, turn])).toBeInstanceOf(RedisUnavailable)
}

describe('requests', () => {
  let redis: RedisStore
  beforeEach(async () => {
    redis = createRedis({ url, keyPrefix: 'faults:', commandTimeoutMs: COMMAND_MS, name: 'faults', log: silentLog })
    await redis.ready(2000)
  })
  afterEach(() => redis.close())

  test('F-01: Redis away: every call fails at once, and the first after its return succeeds', async () => {
    await killRedis()
    await until(() => !redis.available, 1000)
    await expectRefusedAtOnce(redis)
    await startRedis()
    await until(() => redis.available, 5000)
    expect(await redis.run((connection) => connection.get('a'))).toBeNull()
  })

  test('F-06: a Redis that evicts is told in the log and by readiness, and production does not start on it unless asked to', async () => {
    const lines: string[] = []
    const config = (env: object) => ({ ...loadConfig({}), production: true, ...env })
    const at = { ...loadConfig({}).redis, url, keyPrefix: 'faults:' }
    await demandLastingRedis(config({ redis: at }), silentLog)
    await redis.run((client) => client.config('SET', 'maxmemory', '1gb'))
    await redis.run((client) => client.config('SET', 'maxmemory-policy', 'allkeys-lru'))
    try {
      const refusal = await demandLastingRedis(config({ redis: at }), silentLog).catch((error: unknown) => error)
      expect(refusal).toBeInstanceOf(StartError)
      expect(String(refusal)).toContain('maxmemory-policy allkeys-lru')
      await demandLastingRedis(config({ redis: { ...at, allowEviction: true } }), silentLog)
      const fresh = createRedis({
        url,
        keyPrefix: 'faults:',
        commandTimeoutMs: COMMAND_MS,
        name: 'faults',
        log: createLog({ level: 'info', write: (line) => lines.push(line) }),
      })
      await until(() => fresh.evicts)
      expect(lines.join()).toContain('redis evicts keys')
      const database = { ping: async () => 'ok' as const }
      const health = createHealth({ database, redis: fresh, isMigrated: async () => true })
      expect(await health.readiness()).toMatchObject({ status: 'degraded', checks: { redis: 'evicting' } })
      await fresh.close()
    } finally {
      await redis.run((client) => client.config('SET', 'maxmemory-policy', 'noeviction'))
      await redis.run((client) => client.config('SET', 'maxmemory', '0'))
    }
  })

  test('F-02: Redis frozen: no call waits longer than its command timeout, three open the circuit, and it closes within 5 s', async () => {
    await freeze()
    try {
      const first = await Promise.all(Array.from({ length: 3 }, () => timed(() => redis.run((connection) => connection.get('a')))))
      for (const { ms, outcome } of first) {
        expect(outcome).toBeInstanceOf(RedisUnavailable)
        expect(ms).toBeLessThan(2 * COMMAND_MS)
      }
      expect(redis.available).toBe(false)
      await expectRefusedAtOnce(redis)
      await Bun.sleep(1500)
      expect(redis.available).toBe(false)
    } finally {
      thaw()
    }
    await until(() => redis.available, 5000)
  })

  test('F-02: Redis held up by a script that somebody else runs is away too, and back when that has ended', async () => {
    const own = redis.dedicated('own')
    const other = redis.dedicated('other')
    await own.config('SET', 'busy-reply-threshold', '100')
    const held = other.eval('while true do end', 0).catch((error: Error) => error)
    try {
      // It is silent at first, then says that it is busy.
      await until(async () => (await own.ping().catch((error: Error) => error.message)).startsWith('BUSY '), 5000)
      const fresh = createRedis({ url, keyPrefix: 'faults:', commandTimeoutMs: COMMAND_MS, name: 'fresh', log: silentLog })
      for (const store of [redis, fresh])
        for (let i = 0; i < 4; i++)
          expect((await timed(() => store.run((connection) => connection.get('a')))).outcome).toBeInstanceOf(RedisUnavailable)
      expect(redis.available).toBe(false)
      await fresh.close()
    } finally {
      await own.call('SCRIPT', 'KILL')
    }
    await held
    await until(() => redis.available, 5000)
    own.disconnect()
    other.disconnect()
  })

  test('a full Redis is away for single commands and for transactions', async () => {
    await redis.run((connection) => connection.config('SET', 'maxmemory', '1'))
    try {
      for (const change of [
        () => redis.run((connection) => connection.set('faults:a', '1')),
        () => redis.run((connection) => results(connection.multi().set('faults:a', '1').expire('faults:a', 60))),
      ])
        expect((await timed<unknown>(change)).outcome).toBeInstanceOf(RedisUnavailable)
    } finally {
      await redis.run((connection) => connection.config('SET', 'maxmemory', '0'))
    }
  })

  test('F-05: a command whose reply was lost fails and is not sent again', async () => {
    const late = redis.run((connection) => connection.multi().incr('faults:counted').blpop('faults:nothing', 0).exec())
    const blocked = timed(() => redis.run((connection) => connection.blpop('faults:nothing', 0)))
    await late
    await Bun.sleep(50)
    const admin = redis.dedicated('admin')
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    const { ms, outcome } = await blocked
    expect(outcome).toBeInstanceOf(RedisUnavailable)
    expect(ms).toBeLessThan(2 * COMMAND_MS)
    await until(() => redis.available, 5000)
    expect(await redis.run((connection) => connection.get('faults:counted'))).toBe('1')
    admin.disconnect()
  })

  test('what Redis itself refuses is thrown as it is and leaves the circuit closed; a pipeline does not hide it', async () => {
    await redis.run((connection) => connection.set('faults:text', 'x'))
    for (let i = 0; i < 5; i++) {
      const failing = redis.run((connection) => results(connection.pipeline().set('faults:other', '1').lpush('faults:text', '1')))
      await expect(failing).rejects.toThrow('WRONGTYPE')
    }
    expect(redis.available).toBe(true)
  })

  test('a script runs on a server that has forgotten it', async () => {
    const read = script<string>('return ARGV[1] .. KEYS[1]', 1)
    expect(await redis.run((connection) => read(connection, 'k', 'a'))).toBe('ak')
    await redis.run((connection) => connection.script('FLUSH'))
    expect(await redis.run((connection) => read(connection, 'k', 'b'))).toBe('bk')
  })

  test('a subscriber hears again after Redis came back', async () => {
    const subscriber = redis.dedicated('subscriber')
    const heard: string[] = []
    subscriber.on('message', (_channel, message) => heard.push(message))
    await subscriber.subscribe('faults:channel')
    await killRedis()
    await startRedis()
    await until(async () => {
      await redis.run((connection) => connection.publish('faults:channel', 'again')).catch(() => 0)
      return heard.length > 0
    }, 5000)
    subscriber.disconnect()
  })
})

describe('the outbox', () => {
  let world: Background
  let relay: Relay

  beforeEach(async () => {
    world = await openBackground({ redisUrl: url })
    relay = createRelay({ database: world.database, redis: world.redis, log: silentLog })
  })

  const startWorker = () => world.startWorker({ queues: ['email', 'audit', 'sweeper'] })
  const workers: Bun.Subprocess[] = []

  /** Requests as the API makes them: COMMIT, then publish. */
  async function request(count: number): Promise<{ mails: string[]; audits: string[] }> {
    const mails: string[] = []
    const audits: string[] = []
    for (let i = 0; i < count; i++) {
      mails.push((await world.requestMail()).id)
      audits.push(await world.requestAudit())
      relay.publish([
        { id: mails[i] as string, kind: 'email' },
        { id: audits[i] as string, kind: 'audit' },
      ])
    }
    return { mails, audits }
  }

  async function expectAll({ mails, audits }: { mails: string[]; audits: string[] }, withinMs = 15_000) {
    await until(async () => {
      for (const id of mails) if (!(await world.isDone(id))) return false
      return (await world.countAudits(audits)) === audits.length
    }, withinMs)
    for (const id of mails) expect(await world.deliveryOf(id)).toMatchObject({ state: 'sent', attempts: 1 })
    for (const id of [...mails, ...audits]) expect(await world.deadLettersOf(id)).toHaveLength(0)
    // The test's own connection may come back later than the worker's.
    const isEmpty = async () => world.redis.available && (await world.lengthOf('email')) === 0 && (await world.lengthOf('audit')) === 0
    await until(isEmpty)
  }

  afterEach(async () => {
    await Promise.all(workers.splice(0).map(endProcess))
    await relay.close()
    await world.close()
  })

  const readEntries = async (kind: OutboxKind) =>
    (await world.redis.run((connection) => connection.xrange(streamKey(world.redis, kind), '-', '+'))).map(([, fields]) => fields)

  test('the relay tells ids alone, and what it told is marked unless it is done by then', async () => {
    const { mails, audits } = await request(3)
    await until(async () => (await world.lengthOf('audit')) === 3)
    expect(await readEntries('email')).toEqual(mails.map((id) => ['id', id]))
    expect(await readEntries('audit')).toEqual(audits.map((id) => ['id', id]))
    await relay.close()
    expect(await world.unmarked([...mails, ...audits])).toBe(0)
  })

  test('while the stream of one kind is away, that is said once, and the others go on', async () => {
    const lines: string[] = []
    const log = createLog({ level: 'info', write: (line) => lines.push(line) })
    const talkative = createRelay({ database: world.database, redis: world.redis, log })
    await world.redis.run((connection) => connection.set(streamKey(world.redis, 'email'), 'no stream'))
    for (let round = 1; round <= 3; round++) {
      talkative.publish([
        { id: Bun.randomUUIDv7(), kind: 'email' },
        { id: Bun.randomUUIDv7(), kind: 'audit' },
      ])
      await until(async () => (await world.lengthOf('audit')) === round)
    }
    await talkative.close()
    expect(lines.filter((line) => line.includes('were not published'))).toHaveLength(1)
  })

  test('F-01, F-03: Redis gone for some seconds with all it held: no publish waits or throws, and all arrives after', async () => {
    workers.push(startWorker())
    const before = await request(5)
    await killRedis()
    await until(() => !world.redis.available, 1000)
    expect(relay.publish([{ id: Bun.randomUUIDv7(), kind: 'audit' }])).toBeUndefined()
    const meanwhile = await request(10)
    await Bun.sleep(2000)
    await startRedis()
    await expectAll({ mails: [...before.mails, ...meanwhile.mails], audits: [...before.audits, ...meanwhile.audits] })
  })

  test('F-02: Redis frozen for some seconds: all arrives after', async () => {
    workers.push(startWorker())
    const before = await request(3)
    await expectAll(before)
    await freeze()
    let meanwhile: Awaited<ReturnType<typeof request>>
    try {
      meanwhile = await request(5)
      await Bun.sleep(3000)
    } finally {
      thaw()
    }
    await expectAll(meanwhile, 20_000)
  })

  test('F-03, F-07: FLUSHALL under working and waiting workers, three times', async () => {
    workers.push(startWorker(), startWorker())
    const all: { mails: string[]; audits: string[] } = { mails: [], audits: [] }
    for (let round = 0; round < 3; round++) {
      const { mails, audits } = await request(5)
      all.mails.push(...mails)
      all.audits.push(...audits)
      await world.redis.run((connection) => connection.flushall())
    }
    await expectAll(all)
  })

  test.each<[string, (redis: RedisStore, key: string) => Promise<unknown>]>([
    ['the group is deleted', (redis, key) => redis.run((connection) => connection.xgroup('DESTROY', key, GROUP))],
    ['the stream is trimmed under pending entries', (redis, key) => redis.run((connection) => connection.xtrim(key, 'MAXLEN', 0))],
    [
      'the consumer is deleted with pending entries',
      (redis, key) => redis.run((connection) => connection.xgroup('DELCONSUMER', key, GROUP, 'gone')),
    ],
  ])('F-07: %s: all arrives', async (_, spoil) => {
    const key = streamKey(world.redis, 'email')
    await world.redis.run((connection) => connection.xgroup('CREATE', key, GROUP, '0', 'MKSTREAM'))
    const requested = await request(4)
    await until(async () => (await world.lengthOf('email')) === 4)
    await world.redis.run((connection) => connection.xreadgroup('GROUP', GROUP, 'gone', 'COUNT', 2, 'STREAMS', key, '>'))
    expect(await world.pendingOf('email')).toBe(2)
    await spoil(world.redis, key)
    workers.push(startWorker())
    await expectAll(requested)
  })

  test('F-18: a change whose process died between COMMIT and publishing is found by the sweeper', async () => {
    workers.push(startWorker())
    const mails = [(await world.requestMail()).id]
    const audits = [await world.requestAudit(), await world.requestAudit()]
    await expectAll({ mails, audits })
  })
})
