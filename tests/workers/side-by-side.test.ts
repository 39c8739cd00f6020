import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { eq, sql } from 'drizzle-orm'
import postgres from 'postgres'
import { GENESIS } from '~/features/audit/chain'
import { lockHeads } from '~/features/audit/queries/append'
import type { MailSender } from '~/features/mail/sender'
import { deliveries } from '~/features/mail/table'
import { createMailWorker } from '~/features/mail/worker'
import { createWebhookWorker } from '~/features/webhooks/worker'
import type { Db, Send } from '~/platform/db'
import { silentLog } from '~/platform/log'
import { outbox } from '~/platform/outbox/table'
import { system } from '~/platform/principal'
import { migrate } from '../../db/migrate'
import { composing } from '../support/mail-settings'
import { startSideBySide } from '../support/side-by-side'
import { startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

setDefaultTimeout(30_000)

const { databaseUrl, isPossible, stop } = await startSideBySide('what several workers do about one row')

let app: TestApp
let locker: postgres.Sql
beforeAll(async () => {
  await migrate({ url: databaseUrl, log: silentLog })
  app = await startApp({ DATABASE_URL: databaseUrl, OUTBOUND_ALLOW: '127.0.0.1' })
  locker = postgres(databaseUrl, { max: 2, onnotice: () => {} })
})
afterAll(async () => {
  await app.close()
  await locker.end()
  await stop()
})

const WORKERS = 3

/** Sessions that wait for a row. */
async function countWaiting(): Promise<number> {
  const [row] = await locker`select count(distinct pid)::int as waiting from pg_locks join pg_stat_activity using (pid)
    where not granted and locktype in ('tuple', 'transactionid') and datname = current_database()`
  return row?.waiting ?? 0
}

/** Lets several workers wait for the same outbox row at once, then lets go of it; returns when the row is done and all have stopped. */
async function race(id: string, start: (signal: AbortSignal) => Promise<void>[]) {
  const stop = new AbortController()
  let running: Promise<void>[] = []
  await locker.begin(async (tx) => {
    await tx`select from outbox where id = ${id} for update`
    running = start(stop.signal)
    // Of each worker, what reads the stream waits, and what looks for rows that are due may wait too.
    await until(async () => (await countWaiting()) >= WORKERS)
  })
  const isDone = async () => (await app.services.db.select().from(outbox).where(eq(outbox.id, id)))[0]?.doneAt != null
  await until(isDone)
  stop.abort()
  await Promise.all(running)
}

test.skipIf(!isPossible)('workers that wait for each other at a mail that is due send it once', async () => {
  const { db, stores } = app.services
  const id = Bun.randomUUIDv7()
  const request = { template: 'password-changed', user_id: app.ada.userId }
  await db.insert(outbox).values({ id, kind: 'email', payload: request, relayedAt: new Date() })
  await db.insert(deliveries).values({
    id: Bun.randomUUIDv7(),
    outboxId: id,
    template: request.template,
    recipient: app.ada.email,
    subject: '',
    state: 'queued',
    provider: 'sendgrid',
    attempts: 1,
    nextAttemptAt: new Date(),
  })
  const sent: string[] = []
  const sender: MailSender = {
    name: 'sendgrid',
    send: async (mail) => {
      sent.push(mail.id)
      return {}
    },
    close() {},
  }
  const worker = () =>
    createMailWorker({
      database: stores.database,
      redis: stores.redis,
      log: silentLog,
      sender,
      from: 'noreply@evo.example',
      sendTimeoutMs: 500,
      unknownHoldSeconds: 60,
      duePollMs: 20,
      ...composing,
    })
  await race(id, (signal) => Array.from({ length: WORKERS }, () => worker().run(signal)))
  expect(sent).toHaveLength(1)
})

test.skipIf(!isPossible)('workers that wait for each other at a webhook that is due call it once', async () => {
  const calls: string[] = []
  const receiver = createServer((request, response) => {
    calls.push(String(request.headers['webhook-id']))
    response.writeHead(204).end()
  })
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
  const { outbound, stores, db } = app.services
  const { database, redis, secrets } = stores
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`
  const { clientId } = app.ada
  await app.ada.call('POST', `/api/v1/clients/${clientId}/webhooks`, { url, events: ['agent.changed'] })
  await app.services.write(system, async (unit) => unit.notify({ type: 'agent.changed', clientId, data: {} }))
  const [row] = await db.select({ id: outbox.id }).from(outbox).where(eq(outbox.kind, 'webhook'))
  const id = row?.id ?? ''
  // The relay has told of it once; each worker reads it, as after a sweep or a takeover.
  for (let i = 1; i < WORKERS; i++) await redis.run((client) => client.xadd(redis.key('stream', 'webhook'), '*', 'id', id))
  const worker = () => createWebhookWorker({ database, redis, secrets, outbound, log: silentLog, concurrency: 1 })
  await race(id, (signal) => Array.from({ length: WORKERS }, () => worker().run(signal)))
  expect(calls).toEqual([id])
  receiver.close()
})

test.skipIf(!isPossible)('a worker that reaches the end of an audit chain waits for who is there, and goes on behind them', async () => {
  const { database } = app.services.stores
  const chain = crypto.randomUUID()
  const lock = (tx: Db, send: Send) => lockHeads(tx, send, [chain], GENESIS)
  await database.transaction(lock)
  let second: Promise<number | undefined> | undefined
  await database.transaction(async (tx, send) => {
    await lock(tx, send)
    second = database.transaction(async (...late) => (await lock(...late)).heads.get(chain)?.seq)
    await until(async () => (await countWaiting()) === 1)
    await tx.execute(sql`update audit_chains set seq = 7 where id = ${chain}`)
  })
  expect(await second).toBe(7)
})
