import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { createDatabase } from '~/platform/db'
import { silentLog } from '~/platform/log'
import { migrate } from '../../db/migrate'
import { findPostgresPrograms, type NativePostgres, startNativePostgres } from '../support/native-postgres'
import { findPgBouncer, startPgBouncer } from '../support/pgbouncer'
import { type Person, startApp } from '../support/start-app'

const isThere = findPostgresPrograms() !== undefined && findPgBouncer() !== null
if (!isThere) console.warn('PostgreSQL or PgBouncer is not installed: what happens behind a pooler is skipped')

/** Fewer than the server has connections to the pooler, so that each statement meets another session. */
const SESSIONS = 4

describe.skipIf(!isThere)('behind PgBouncer in transaction mode', () => {
  let postgres: NativePostgres
  let pooler: Awaited<ReturnType<typeof startPgBouncer>>

  beforeAll(async () => {
    postgres = await startNativePostgres()
    pooler = await startPgBouncer({ serverUrl: postgres.url, sessions: SESSIONS })
    await migrate({ url: pooler.url, log: silentLog })
  }, 60_000)
  afterAll(async () => {
    await pooler?.stop()
    await postgres?.stop()
  })

  test('reads, writes and transactions of the same moment each have their own answer', async () => {
    const database = createDatabase({
      url: pooler.url,
      poolSize: 10,
      prepare: false,
      tls: 'off',
      statementTimeoutMs: 2000,
      connectTimeoutMs: 2000,
      acquireTimeoutMs: 2000,
      applicationName: 'pooled',
      log: silentLog,
    })
    const { db } = database
    const one = (n: number) =>
      Promise.all([
        db.execute<{ n: number }>(sql`select ${n}::int4 as n`).then(([row]) => row?.n),
        db.execute<{ n: number }>(sql`select count(*)::int4 as n from clients`).then(([row]) => row?.n),
        database
          .transaction(async (tx) => {
            await tx.execute(sql`insert into clients (name, email) values ('Pooled', ${`pooled-${crypto.randomUUID()}@example.com`})`)
            return tx.execute<{ n: number }>(sql`select ${n + 1}::int4 as n`)
          })
          .then(([row]) => row?.n),
      ])
    try {
      let there = 0
      for (let round = 0; round < 20; round++) {
        const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => one(n)))
        expect(answers.map(([first, , third]) => [first, third])).toEqual(answers.map((_, n) => [n, n + 1]))
        there += answers.length
      }
      expect(await db.execute(sql`select 1 from clients where name = 'Pooled'`)).toHaveLength(there)
    } finally {
      await database.close()
    }
  }, 20_000)

  test('people at the same time list, write and talk, each within their client', async () => {
    const app = await startApp({
      DATABASE_URL: pooler.url,
      DATABASE_PREPARE: 'false',
      DATABASE_RLS: 'enforce',
      DATABASE_STATEMENT_TIMEOUT_MS: '2000',
    })
    try {
      const visit = async ({ call, clientId }: Person, n: number) => {
        const agent = { client_id: clientId, name: `echo-${n}`, type: 'llm', model: 'demo/echo', config: {} }
        const { body } = await call('POST', '/api/v1/agents/', agent)
        const [talk, agents] = await Promise.all([
          call('POST', `/api/v1/chat/${body.id}/user-${n}`, { message: `word ${n}` }),
          call('GET', '/api/v1/agents/?limit=1000', undefined, { 'x-client-id': clientId }),
        ])
        expect(talk).toMatchObject({ status: 200, body: { response: `Echo: word ${n}` } })
        expect([...new Set(agents.body.map((one: { client_id: string }) => one.client_id))]).toEqual([clientId])
      }
      const listing = () => app.admin.call('GET', '/api/v1/clients/')
      for (let round = 0; round < 5; round++) {
        const people = [app.ada, app.bob, app.ada, app.bob]
        const [lists] = await Promise.all([
          Promise.all(Array.from({ length: 10 }, listing)),
          Promise.all(people.map((person, at) => visit(person, round * people.length + at))),
        ])
        expect(lists.map(({ status }) => status)).toEqual(lists.map(() => 200))
      }
    } finally {
      await app.close()
    }
  }, 30_000)
})
