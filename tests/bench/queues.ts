import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { MAILS_AT_ONCE as WORKER_MAILS } from '~/features/mail/worker'
import type { Database } from '~/platform/db'
import { silentLog } from '~/platform/log'
import { appendToStream } from '~/platform/outbox/streams'
import type { OutboxKind } from '~/platform/outbox/table'
import { createRedis, type RedisStore } from '~/platform/redis'
import { migrate } from '../../db/migrate'
import { type Served, serve } from './child'
import { openDatabase } from './seed'
import { randomSecret, startPostgres, startRedis, startRole } from './stage'

/** `library`: mails that are sent by @sendgrid/mail. */
export const FLOOR_STREAMS = { email: 'floor:email', library: 'floor:library', audit: 'floor:audit', chained: 'floor:chained' }
export const GROUP = 'floor'
/** As many as the mail worker has. */
export const MAILS_AT_ONCE = WORKER_MAILS.sendgrid

const PREFIX = 'bench:'
/** Notices of one call of Redis. */
const PUBLISHED_AT_ONCE = 1000
const SETTLED_WITHIN_MS = 120_000

/** One worker process as in production and the bare loops beside it, both with nothing to do. */
export interface Queues {
  database: Database
  redis: RedisStore
  sink: Served
}

/** PostgreSQL writes its log to the disk at each COMMIT here, as in production: that is what batches save. */
export async function setQueues(stack: AsyncDisposableStack): Promise<Queues> {
  const folder = mkdtempSync(join(tmpdir(), 'evo-bench-queues-'))
  stack.defer(() => rmSync(folder, { recursive: true, force: true }))
  const [{ url: databaseUrl }, { url: redisUrl }] = await Promise.all([startPostgres(stack, { fsync: 'on' }), startRedis(stack, folder)])
  await migrate({ url: databaseUrl, log: silentLog })
  const sink = await serve(join(import.meta.dir, 'mail-sink.ts'), {})
  stack.defer(sink.stop)
  const stores = { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl }
  const floor = await serve(join(import.meta.dir, 'queue-floor.ts'), { ...stores, SINK_URL: sink.url })
  stack.defer(floor.stop)
  const mail = { EMAIL_PROVIDER: 'sendgrid', SENDGRID_API_KEY: `SG.${randomSecret()}`, SENDGRID_BASE_URL: sink.url }
  startRole(stack, 'worker', { ...stores, ...mail, REDIS_KEY_PREFIX: PREFIX, EMAIL_TIMEOUT_MS: '30000' }, folder)
  const database = openDatabase(databaseUrl)
  stack.defer(() => database.close())
  const redis = createRedis({ url: redisUrl, keyPrefix: PREFIX, commandTimeoutMs: 5000, name: 'bench', log: silentLog })
  stack.defer(() => redis.close())
  await redis.ready(5000)
  return { database, redis, sink }
}

export interface Item {
  clientId: string
  payload: Record<string, unknown>
}

/** Commits what is to be done, as requests do. Told already, as far as the sweeper knows. */
async function commit({ database }: Queues, table: 'outbox' | 'floor_outbox', kind: OutboxKind, items: Item[]): Promise<string[]> {
  const rows = items.map(({ clientId, payload }) => ({ id: Bun.randomUUIDv7(), client_id: clientId, payload }))
  await database.db.execute(sql`
    insert into ${sql.identifier(table)} (id, kind, client_id, payload, relayed_at) select id, ${kind}, client_id, payload, clock_timestamp()
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as row_ (id uuid, client_id uuid, payload jsonb)`)
  return rows.map(({ id }) => id)
}

/** Only what is committed is told to the worker. Returns when the telling began. */
export async function giveToWorker(queues: Queues, kind: OutboxKind, items: Item[]): Promise<number> {
  const ids = await commit(queues, 'outbox', kind, items)
  const startedAt = Date.now()
  for (let at = 0; at < ids.length; at += PUBLISHED_AT_ONCE) await appendToStream(queues.redis, kind, ids.slice(at, at + PUBLISHED_AT_ONCE))
  return startedAt
}

/** The same for the loop that does the worker's own work. */
export const giveToChainedFloor = async (queues: Queues, items: Item[]): Promise<number> =>
  giveToFloor(queues, 'chained', await commit(queues, 'floor_outbox', 'audit', items))

/** The same for the bare loops, whose entries hold everything. */
export async function giveToFloor({ redis }: Queues, kind: keyof typeof FLOOR_STREAMS, bodies: string[]): Promise<number> {
  const startedAt = Date.now()
  for (let at = 0; at < bodies.length; at += PUBLISHED_AT_ONCE) {
    await redis.run((client) => {
      const pipeline = client.pipeline()
      for (const body of bodies.slice(at, at + PUBLISHED_AT_ONCE)) pipeline.xadd(FLOOR_STREAMS[kind], '*', 'body', body)
      return pipeline.exec()
    })
  }
  return startedAt
}

/** Asks until `isDone`. @throws Error after two minutes */
export async function until(isDone: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + SETTLED_WITHIN_MS
  while (!(await isDone())) {
    if (performance.now() > deadline) throw new Error('a queue was not worked off in two minutes')
    await Bun.sleep(25)
  }
}

/** How much a side is given: as much as it last did in so many seconds. The first round, which does not count, starts from a guess. */
export function createMeasure(guessPerSecond: number, seconds: number, work: (count: number) => Promise<number>) {
  let perSecond = guessPerSecond
  return async (): Promise<number> => {
    const count = Math.ceil(perSecond * seconds)
    perSecond = (count * 1000) / (await work(count))
    return perSecond
  }
}
