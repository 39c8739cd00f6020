import { afterAll, afterEach, describe, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import postgres from 'postgres'
import { createHealth } from '~/features/system/health'
import { builtOnce } from '~/platform/built-once'
import { createDatabase, type Database, type DatabaseOptions, type Db, sqlState } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import { silentLog } from '~/platform/log'
import { findPostgresPrograms, startNativePostgres } from '../support/native-postgres'
import { services } from '../support/services'
import { TcpProxy } from '../support/tcp-proxy'

/** The rows of the fault matrix for PostgreSQL. Whatever needs sessions that run side by side needs a native server: our own, or the one given. */
const ownServer = findPostgresPrograms() ? await startNativePostgres() : undefined
const serverUrl = services.kind === 'native' ? services.databaseUrl : (ownServer?.url ?? services.databaseUrl)
const isNative = services.kind === 'native' || ownServer !== undefined
if (!isNative) console.warn('PostgreSQL is not installed: the faults that need parallel sessions are skipped')
if (!ownServer) console.warn('PostgreSQL is not installed: the frozen server is skipped')

const server = new URL(serverUrl)
const admin = postgres(serverUrl, { max: 2, onnotice: () => undefined })
const table = `fault_${crypto.randomUUID().slice(0, 8)}`
await admin.unsafe(`create table ${table} (id int primary key, n int not null default 0)`)
await admin.unsafe(`insert into ${table} select i from generate_series(1, 1000) i`)

const proxy = await TcpProxy.start({ host: server.hostname, port: Number(server.port || 5432) })
const opened: Database[] = []

afterEach(async () => {
  proxy.fault = 'none'
  proxy.onRequest = () => undefined
  proxy.onAnswer = () => true
  await Promise.all(opened.splice(0).map((database) => database.close()))
})
afterAll(async () => {
  await proxy.refuse()
  await admin.unsafe(`drop table if exists ${table}`)
  await admin.end()
  await ownServer?.stop()
})

const APPLICATION = `faults-${crypto.randomUUID().slice(0, 8)}`

function open({ throughProxy = false, ...options }: Partial<DatabaseOptions> & { throughProxy?: boolean } = {}): Database {
  const url = new URL(serverUrl)
  if (throughProxy) Object.assign(url, { hostname: '127.0.0.1', port: `${proxy.port}` })
  const database = createDatabase({
    url: url.href,
    poolSize: 5,
    prepare: true,
    statementTimeoutMs: 5000,
    connectTimeoutMs: 2000,
    acquireTimeoutMs: 1000,
    tls: 'auto',
    applicationName: APPLICATION,
    log: silentLog,
    ...options,
  })
  opened.push(database)
  return database
}

const tableName = sql.raw(table)
const read = (db: Db, id = 1) => db.execute<{ n: number }>(sql`select n from ${tableName} where id = ${id}`)
const increment = (db: Db, id = 1) => db.execute(sql`update ${tableName} set n = n + 1 where id = ${id}`)
const insert = (db: Db, id: number) => db.execute(sql`insert into ${tableName} (id) values (${id})`)
const stored = async (id: number) => (await admin.unsafe(`select n from ${table} where id = ${id}`))[0]?.n as number | undefined
let lastId = 10_000
const nextId = () => ++lastId

/** How a call ended, and after how many milliseconds. */
async function timed(call: () => PromiseLike<unknown>) {
  const startedAt = performance.now()
  const error = await Promise.resolve(call()).then(
    () => undefined,
    (failure: unknown) => failure,
  )
  return { ms: performance.now() - startedAt, error: error as DomainError | undefined }
}

function expectUnavailable(error: unknown) {
  expect(error).toBeInstanceOf(DomainError)
  expect((error as DomainError).problem).toBe('dependency-unavailable')
  expect((error as DomainError).retryAfterSeconds).toBeWithin(1, 6)
}

/** Milliseconds until the call succeeds. */
async function untilSuccess(call: () => PromiseLike<unknown>, withinMs: number) {
  const startedAt = performance.now()
  for (;;) {
    const { error } = await timed(call)
    if (!error) return performance.now() - startedAt
    if (performance.now() - startedAt > withinMs) throw error
    await Bun.sleep(20)
  }
}

describe('F-08: the server refuses connections', () => {
  test('calls get 503 in time, none hangs, and the first success follows the return', async () => {
    const database = open({ throughProxy: true })
    await read(database.db)
    await proxy.refuse()
    const calls: Awaited<ReturnType<typeof timed>>[] = []
    for (let round = 0; round < 20; round++) {
      calls.push(
        ...(await Promise.all(
          [() => read(database.db), () => insert(database.db, nextId()), () => database.transaction((tx) => read(tx))].map(timed),
        )),
      )
      await Bun.sleep(50)
    }
    for (const { error, ms } of calls) {
      expectUnavailable(error)
      expect(ms).toBeLessThan(2000)
    }
    expect(await database.ping(500)).toBe('down')
    await proxy.listen()
    expect(await untilSuccess(() => read(database.db), 5000)).toBeLessThan(5000)
    expect(await database.ping(500)).toBe('ok')
  }, 20_000)

  test('a pool that was never connected behaves the same', async () => {
    await proxy.refuse()
    const database = open({ throughProxy: true })
    const { error, ms } = await timed(() => read(database.db))
    expectUnavailable(error)
    expect(ms).toBeLessThan(2000)
    await proxy.listen()
    await untilSuccess(() => read(database.db), 5000)
  }, 20_000)
})

describe('F-09: a proxy accepts connections and closes them', () => {
  test('calls get 503 within 2 s, and attempts stay below 50 a second', async () => {
    const database = open({ throughProxy: true, poolSize: 20 })
    await Promise.all(Array.from({ length: 20 }, () => read(database.db)))
    proxy.fault = 'accept-and-close'
    proxy.cut()
    const before = proxy.accepted
    const until = performance.now() + 3000
    const slowest = await Promise.all(
      Array.from({ length: 20 }, async () => {
        let worst = 0
        while (performance.now() < until) {
          const { error, ms } = await timed(() => read(database.db))
          expectUnavailable(error)
          worst = Math.max(worst, ms)
          await Bun.sleep(5)
        }
        return worst
      }),
    )
    expect(Math.max(...slowest)).toBeLessThan(2000)
    expect((proxy.accepted - before) / 3).toBeLessThan(50)
    proxy.fault = 'none'
    expect(await untilSuccess(() => read(database.db), 5000)).toBeLessThan(5000)
  }, 20_000)
})

describe('F-10: sessions are terminated all the time', () => {
  test.skipIf(!isNative)(
    'four of five calls succeed at 70 % of the speed, none is older than 5 s, and full speed returns',
    async () => {
      // What must never happen is asked of every round; the speed of a shared machine may halve by itself within one.
      let [whileKilled, afterwards, connectMs] = [0, 0, 0]
      for (let round = 0; round < 3 && !(whileKilled >= 0.7 && afterwards >= 0.8); round++)
        ({ whileKilled, afterwards, connectMs } = await killFor3Seconds())
      if (connectMs > 20)
        return console.warn('F-10: this machine is too busy to connect 10 times a second and work as well: speed not asserted')
      expect(whileKilled).toBeGreaterThanOrEqual(0.7)
      expect(afterwards).toBeGreaterThanOrEqual(0.8)
    },
    50_000,
  )

  async function killFor3Seconds() {
    const database = open({ poolSize: 10 })
    await load(database, 300)
    const normal = await load(database, 1000)
    let lastKill: Promise<unknown> = Promise.resolve()
    const kill = setInterval(() => {
      lastKill = admin`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${APPLICATION}`.catch(
        () => undefined,
      )
    }, 100)
    const [killed, connectMs] = await Promise.all([load(database, 3000), timeToConnect(3000)])
    clearInterval(kill)
    await lastKill
    await Bun.sleep(50)
    const endedAt = performance.now()
    let after = await load(database, 500)
    while (after.perSecond < 0.8 * normal.perSecond && performance.now() - endedAt < 4500) after = await load(database, 500)
    console.log(
      `F-10: normal ${normal.perSecond}/s; sessions killed ${killed.perSecond}/s, ${killed.failed} of ${killed.ok + killed.failed} failed,`,
      `oldest ${killed.oldestMs} ms, a connection takes ${Math.round(connectMs)} ms; ${after.perSecond}/s within ${Math.round(performance.now() - endedAt)} ms of the last kill`,
    )
    expect(killed.ok / (killed.ok + killed.failed)).toBeGreaterThanOrEqual(0.8)
    expect(killed.oldestMs).toBeLessThan(5000)
    expect(after.failed).toBe(0)
    expect(database.stats()).toMatchObject({ busy: 0, waiting: 0 })
    const usual = (normal.perSecond + after.perSecond) / 2
    return { whileKilled: killed.perSecond / usual, afterwards: after.perSecond / normal.perSecond, connectMs }
  }

  /** The median of a bystander: what each kill costs at least. */
  async function timeToConnect(ms: number) {
    const times: number[] = []
    for (const startedAt = performance.now(); performance.now() - startedAt < ms - 200; await Bun.sleep(200)) {
      const bystander = postgres(serverUrl, { max: 1, fetch_types: false, onnotice: () => undefined })
      times.push((await timed(() => bystander.unsafe('select 1'))).ms)
      await bystander.end({ timeout: 1 })
    }
    return times.sort((a, b) => a - b)[times.length >> 1] ?? 0
  }

  /** Twenty callers with a breath between calls: reads by key, one call in ten a transaction. */
  async function load(database: Database, ms: number) {
    const startedAt = performance.now()
    let ok = 0
    let failed = 0
    let oldestMs = 0
    await Promise.all(
      Array.from({ length: 20 }, async (_, caller) => {
        for (let i = caller; performance.now() - startedAt < ms; i++) {
          const id = 1 + (i % 1000)
          const outcome = await timed(() => (i % 10 === 0 ? database.transaction((tx) => increment(tx, id)) : read(database.db, id)))
          if (outcome.error) {
            expectUnavailable(outcome.error)
            failed++
          } else ok++
          oldestMs = Math.max(oldestMs, Math.round(outcome.ms))
          await Bun.sleep(10)
        }
      }),
    )
    return { ok, failed, oldestMs, perSecond: Math.round((ok / (performance.now() - startedAt)) * 1000) }
  }
})

describe('F-11: the connection is closed between two statements of a transaction', () => {
  test('the work is done again as a whole, nothing of the first attempt is kept, and the pool goes on', async () => {
    const database = open({ throughProxy: true, poolSize: 1 })
    const id = nextId()
    let runs = 0
    await database.transaction(async (tx) => {
      runs++
      await insert(tx, id)
      if (runs === 1) {
        proxy.finish()
        await Bun.sleep(50)
      }
      await increment(tx, id)
    })
    expect(runs).toBe(2)
    expect(await stored(id)).toBe(1)
    expect(await read(database.db, id)).toEqual([{ n: 1 }] as never)
  }, 15_000)

  test('a transaction that never gets through ends with 503, and the next query works', async () => {
    const database = open({ throughProxy: true, poolSize: 1 })
    const id = nextId()
    const { error, ms } = await timed(() =>
      database.transaction(async (tx) => {
        await insert(tx, id)
        proxy.finish()
        await Bun.sleep(30)
        await increment(tx, id)
      }),
    )
    expectUnavailable(error)
    expect(ms).toBeLessThan(5000)
    expect(await stored(id)).toBeUndefined()
    await read(database.db)
    expect(database.stats()).toMatchObject({ busy: 0, waiting: 0 })
  }, 15_000)
})

describe('F-12: the connection is cut between COMMIT and its answer', () => {
  test('the caller learns that the outcome is unknown, the work is not done again, and the change is there', async () => {
    const database = open({ throughProxy: true, poolSize: 1 })
    const id = nextId()
    let committing = false
    proxy.onRequest = (bytes) => {
      committing ||= bytes.includes('commit')
    }
    proxy.onAnswer = (_, passage) => {
      if (committing) passage.close()
      return !committing
    }
    let runs = 0
    const { error } = await timed(() =>
      database.transaction(async (tx) => {
        runs++
        await insert(tx, id)
      }),
    )
    committing = false
    proxy.onRequest = () => undefined
    expectUnavailable(error)
    expect(error?.message).toContain('outcome is unknown')
    expect(error?.message).toContain('Idempotency-Key')
    expect(runs).toBe(1)
    expect(await stored(id)).toBe(0)
    await read(database.db)
  }, 15_000)

  test('a single write that is cut off is reported the same, a read is asked again', async () => {
    const database = open({ throughProxy: true, poolSize: 1 })
    await read(database.db)
    const cutOnce = (word: string) => {
      proxy.onRequest = (bytes, passage) => {
        if (!bytes.includes(word)) return
        proxy.onRequest = () => undefined
        passage.close()
      }
    }
    cutOnce('insert into')
    const { error } = await timed(() => insert(database.db, nextId()))
    expect(error?.message).toContain('outcome is unknown')
    cutOnce('select n, 1')
    expect(await database.db.execute(sql`select n, 1 as one from ${tableName} where id = ${999}`)).toEqual([
      { n: expect.any(Number), one: 1 },
    ] as never)
  }, 15_000)
})

describe('F-13: the server is frozen', () => {
  test('behind a black hole calls end by their deadlines, and work resumes', async () => {
    const database = open({ throughProxy: true, statementTimeoutMs: 1000 })
    await read(database.db)
    proxy.fault = 'black-hole'
    await expectFrozen(database)
    proxy.fault = 'none'
    expect(await untilSuccess(() => read(database.db), 5000)).toBeLessThan(5000)
  }, 30_000)

  test.skipIf(!ownServer)(
    'with a stopped server calls end by their deadlines, and work resumes',
    async () => {
      const database = open({ url: ownServer?.url ?? '', statementTimeoutMs: 1000 })
      await database.db.execute(sql`select 1`)
      await ownServer?.freeze()
      try {
        await expectFrozen(database)
      } finally {
        await ownServer?.thaw()
      }
      expect(await untilSuccess(() => database.db.execute(sql`select 1`), 5000)).toBeLessThan(5000)
    },
    30_000,
  )

  async function expectFrozen(database: Database) {
    const calls = [
      ...Array.from({ length: 8 }, () => () => database.db.execute(sql`select 1`)),
      () => database.transaction((tx) => tx.execute(sql`select 1`)),
    ]
    for (let round = 0; round < 2; round++)
      for (const { error, ms } of await Promise.all(calls.map(timed))) {
        expect(['dependency-unavailable', 'overloaded']).toContain(error?.problem ?? 'no error')
        expect(ms).toBeLessThan(2000 + 1000 + 1000)
      }
    expect(await database.ping(300)).toBe('down')
  }
})

describe('F-14: deadlocks and serialization failures', () => {
  test.skipIf(!isNative)(
    'transactions that lose are done again, each exactly once',
    async () => {
      const database = open({ poolSize: 4 })
      const [a, b] = [nextId(), nextId()]
      await insert(database.db, a)
      await insert(database.db, b)
      const crosswise = (first: number, second: number) =>
        database.transaction(async (tx) => {
          await increment(tx, first)
          await Bun.sleep(50)
          await increment(tx, second)
        })
      await Promise.all([crosswise(a, b), crosswise(b, a)])
      expect([await stored(a), await stored(b)]).toEqual([2, 2])

      const counter = nextId()
      await insert(database.db, counter)
      const add = () =>
        database.transaction(
          async (tx) => {
            const [row] = await read(tx, counter)
            await Bun.sleep(5)
            await tx.execute(sql`update ${tableName} set n = ${(row?.n ?? 0) + 1} where id = ${counter}`)
          },
          { isolation: 'serializable' },
        )
      const outcomes = await Promise.all([add, add, add].map(timed))
      for (const { error } of outcomes) if (error) expect(error.problem).toBe('conflict')
      expect(await stored(counter)).toBe(outcomes.filter(({ error }) => !error).length)
      expect(await stored(counter)).toBeGreaterThanOrEqual(2)
    },
    20_000,
  )

  test.skipIf(!isNative)(
    'a transaction that always loses ends with 409 after three retries and leaves nothing',
    async () => {
      const database = open({ poolSize: 2 })
      const id = nextId()
      let runs = 0
      const { error } = await timed(() =>
        database.transaction(async (tx) => {
          runs++
          await insert(tx, id)
          await tx.execute(sql`do $$ begin raise exception 'lost' using errcode = '40001'; end $$`)
        }),
      )
      expect(error?.problem).toBe('conflict')
      expect(sqlState(error)?.code).toBe('40001')
      expect(runs).toBe(4)
      expect(await stored(id)).toBeUndefined()
    },
    20_000,
  )
})

describe('F-15: the pool is exhausted by slow queries', () => {
  test.skipIf(!isNative)(
    'what runs goes on, what waits gets 503 after its second, a full queue at once, and calm returns with the end of the load',
    async () => {
      const database = open({ poolSize: 2 })
      const slow = Array.from({ length: 2 }, () => timed(() => database.db.execute(sql`select pg_sleep(2.5)`)))
      await Bun.sleep(200)
      const waiting = Array.from({ length: 200 }, () => timed(() => read(database.db)))
      const last = timed(() => read(database.db))
      // Refused by no timer: whoever waits for one is still waiting.
      const refused = await Promise.race([last, ...waiting])
      expect(refused).toBe(await last)
      expect(refused.error?.problem).toBe('overloaded')
      expect(await database.ping(1000)).toBe('ok')
      for (const { error, ms: waited } of await Promise.all(waiting)) {
        expect(error?.problem).toBe('overloaded')
        expect(error?.retryAfterSeconds).toBeWithin(1, 6)
        expect(waited).toBeLessThan(2000)
      }
      for (const { error } of await Promise.all(slow)) expect(error).toBeUndefined()
      expect(await untilSuccess(() => read(database.db), 5000)).toBeLessThan(5000)
    },
    20_000,
  )

  test.skipIf(!isNative)(
    'a read that is slow for once keeps nobody waiting',
    async () => {
      const database = open({ poolSize: 2 })
      const sleep = (seconds: number) => timed(() => database.db.execute(sql`select pg_sleep(${seconds}::float8)`))
      for (let i = 0; i < 20; i++) await Promise.all([sleep(0), sleep(0), sleep(0)]) // known as quick from here on
      const slow = sleep(3)
      for (const { error, ms } of await Promise.all(Array.from({ length: 10 }, () => sleep(0)))) {
        expect(error).toBeUndefined()
        expect(ms).toBeLessThan(2000)
      }
      const { error, ms } = await slow
      expect(error).toBeUndefined()
      expect(ms).toBeWithin(2900, 5000)
      expect(database.stats()).toMatchObject({ busy: 0, waiting: 0 })
    },
    20_000,
  )

  test.skipIf(!isNative)(
    'reads and transactions side by side never meet on one connection',
    async () => {
      const database = open({ poolSize: 3, acquireTimeoutMs: 5000 })
      const id = nextId()
      await insert(database.db, id)
      // What a read sees of an open transaction would be another number than what is committed: an even one.
      const write = () =>
        database.transaction(async (tx) => {
          await increment(tx, id)
          await Bun.sleep(1)
          await increment(tx, id)
        })
      const seen = await Promise.all(
        Array.from({ length: 240 }, async (_, i) => {
          await Bun.sleep(i % 50)
          if (i % 6 === 0) return write().then(() => 0)
          const [row] = await read(database.db, id)
          return row?.n ?? -1
        }),
      )
      expect(seen.filter((n) => n % 2 !== 0)).toEqual([])
      expect(await stored(id)).toBe(80)
    },
    20_000,
  )

  test.skipIf(!isNative)(
    'transactions that ask for a second connection end, instead of waiting for each other',
    async () => {
      const database = open({ poolSize: 2 })
      const greedy = () => database.transaction(() => Bun.sleep(50).then(() => read(database.db)))
      for (const { error, ms } of await Promise.all([greedy, greedy].map(timed))) {
        if (error) expect(error.problem).toBe('overloaded')
        expect(ms).toBeLessThan(2000)
      }
      await read(database.db)
    },
    20_000,
  )

  test.skipIf(!isNative)(
    'a statement past its limit is stopped on the server, also without settings of the session',
    async () => {
      for (const prepare of [true, false]) {
        const database = open({ poolSize: 1, prepare, statementTimeoutMs: 500 })
        const { error, ms } = await timed(() => database.db.execute(sql`select pg_sleep(20), ${'mark'}::text`))
        expectUnavailable(error)
        expect(ms).toBeLessThan(5000)
        const running = () =>
          admin`select 1 from pg_stat_activity where application_name = ${APPLICATION} and state = 'active' and query like '%pg_sleep(20)%'`
        for (let tries = 0; tries < 40 && (await running()).length > 0; tries++) await Bun.sleep(50)
        expect(await running()).toHaveLength(0)
        await read(database.db)
      }
    },
    20_000,
  )
})

describe('what callers can rely on', () => {
  test('a violated constraint passes through with its code and name, and the pool goes on', async () => {
    const database = open()
    const { error } = await timed(() => insert(database.db, 1))
    expect(sqlState(error)).toEqual({ code: '23505', constraint: `${table}_pkey` })
    expect(String(error)).not.toContain('Failed query')
  })

  test('an error that the work swallowed does not become a commit', async () => {
    const database = open()
    const id = nextId()
    const { error } = await timed(() =>
      database.transaction(async (tx) => {
        await insert(tx, id)
        await insert(tx, 1).then(undefined, () => undefined)
      }),
    )
    expect(sqlState(error)?.code).toBe('23505')
    expect(await stored(id)).toBeUndefined()
  })

  test('a statement that nobody waits for is kept with the rest, and undoes the rest when it fails', async () => {
    const database = open()
    const [first, second, third] = [nextId(), nextId(), nextId()]
    await database.transaction(async (tx, send) => {
      await insert(tx, first)
      await send(() => insert(tx, second))
    })
    expect([await stored(first), await stored(second)]).toEqual([0, 0])
    // Alone, so that BEGIN and COMMIT travel with it.
    const duplicate = await timed(() => database.transaction((tx, send) => send(() => insert(tx, 1))))
    expect(sqlState(duplicate.error)?.code).toBe('23505')
    // One that cannot even be sent.
    const unsendable = await timed(() =>
      database.transaction(async (tx, send) => {
        await insert(tx, third)
        await send(() => tx.execute(sql`select ${Symbol('x')}`))
      }),
    )
    expect(unsendable.error).toBeInstanceOf(TypeError)
    const twice = await timed(() =>
      database.transaction(async (tx, send) => {
        await send(() => insert(tx, third))
        await send(() => insert(tx, 1))
      }),
    )
    expect(sqlState(twice.error)?.code).toBe('23505')
    expect(await stored(third)).toBeUndefined()
  })

  test('a statement behind one that failed and that nobody waits for fails as that one did', async () => {
    const database = open()
    const id = nextId()
    const behind = (failing: (tx: Db) => PromiseLike<unknown>) =>
      timed(() =>
        database.transaction(async (tx, send) => {
          await insert(tx, id)
          await send(() => failing(tx))
          await read(tx)
        }),
      )
    const duplicate = await behind((tx) => insert(tx, 1))
    expect(sqlState(duplicate.error)?.code).toBe('23505')
    const late = await behind((tx) => tx.execute(sql`do $$ begin raise exception 'late' using errcode = '57014'; end $$`))
    expectUnavailable(late.error)
    expect(await stored(id)).toBeUndefined()
  })

  test('a statement is built once for all transactions, and each keeps its own values', async () => {
    const database = open()
    const built: Db[] = []
    const doubled = builtOnce((db) => {
      built.push(db)
      return db
        .select({ doubled: sql<number>`${sql.placeholder('n')}::int * 2` })
        .from(sql`(values (1)) as one`)
        .prepare('')
    })
    const twice = (n: number) => database.transaction(async (tx) => (await doubled(tx).execute({ n }))[0]?.doubled)
    expect(await Promise.all([1, 2, 3].map(twice))).toEqual([2, 4, 6])
    expect((await doubled(database.db).execute({ n: 4 }))[0]?.doubled).toBe(8)
    expect(built).toHaveLength(1)
  })

  test('what picks rows by their ids keeps to the indexes until its transaction ends, and nobody else is held to them', async () => {
    const database = open()
    const setting = async (tx: Db) => (await tx.execute<{ on: string }>(sql`select current_setting('enable_seqscan') as on`))[0]?.on
    expect(await database.transaction(setting, { byIndex: true })).toBe('off')
    expect(await database.transaction(setting, { byIndex: true, isolation: 'serializable' })).toBe('off')
    expect(await database.transaction(setting)).toBe('on')
    expect(await setting(database.db)).toBe('on')
  })

  test('a statement after the end of its transaction is refused, not run on the connection of somebody else', async () => {
    const database = open()
    let leaked: Db | undefined
    await database.transaction(async (tx) => {
      leaked = tx
    })
    expect((await timed(() => increment(leaked as Db))).error?.message).toBe('The transaction is over')
  })

  test('JSON, microseconds, big integers and arrays arrive as they were', async () => {
    const { db } = open()
    const [row] = await db.execute(
      sql`select '"1"'::jsonb as json, 9007199254740993::int8 as big, 7::int8 as small, ${sql.param(['a"b\\', 'c'])}::text[] as list, now() as at, ${true}::text::bool as yes`,
    )
    expect(row).toEqual({ json: '1', big: 9007199254740993n, small: 7, list: ['a"b\\', 'c'], at: expect.any(Date), yes: true })
  })

  test('of several hosts the one that answers and may write is taken', async () => {
    const url = new URL(serverUrl)
    const several = serverUrl.replace(url.host, `127.0.0.1:1,${url.host}`)
    const database = open({ url: `${several}${url.search ? '&' : '?'}target_session_attrs=read-write` })
    const id = nextId()
    await insert(database.db, id)
    expect(await stored(id)).toBe(0)
    const standby = open({ url: `${several}${url.search ? '&' : '?'}target_session_attrs=standby` })
    expectUnavailable((await timed(() => read(standby.db))).error)
  })

  test.skipIf(!isNative)(
    'while the database takes no changes readiness says no, and a refused change is known not to have been made',
    async () => {
      const url = new URL(serverUrl)
      url.searchParams.set('default_transaction_read_only', 'on')
      const database = open({ url: url.href })
      const id = nextId()
      const changes = [
        () => insert(database.db, id),
        () => database.transaction((tx) => insert(tx, id)),
        () => database.transaction((tx, send) => send(() => insert(tx, id))),
        () =>
          database.transaction(async (tx, send) => {
            await read(tx)
            await send(() => insert(tx, id))
            await send(() => increment(tx, id))
          }),
      ]
      for (const change of changes) {
        const { error } = await timed(change)
        expectUnavailable(error)
        expect(error?.message).not.toContain('unknown')
      }
      await read(database.db)
      const health = createHealth({ database, redis: { available: true, evicts: false }, isMigrated: async () => true })
      expect(await health.readiness()).toMatchObject({ status: 'unready', checks: { postgres: 'read-only' } })
      expect(await stored(id)).toBeUndefined()
    },
  )

  test('closing lets the statement in hand finish and refuses the next', async () => {
    const database = open()
    await read(database.db)
    const running = timed(() => database.transaction((tx) => Bun.sleep(100).then(() => read(tx))))
    await Bun.sleep(20)
    await database.close()
    expect((await running).error).toBeUndefined()
    expectUnavailable((await timed(() => read(database.db))).error)
    expect(database.stats()).toEqual({ open: 0, busy: 0, waiting: 0 })
  })
})
