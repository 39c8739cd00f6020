/** A worker process of its own, for tests that kill one: `bun worker-process.ts '<order as JSON>'`. Stops at SIGTERM, or when its parent is gone. */
import { createAuditWorker } from '~/features/audit/worker'
import { createMailbox } from '~/features/mail/mailbox'
import { createSendGrid } from '~/features/mail/sendgrid'
import { createMailWorker } from '~/features/mail/worker'
import { createDatabase } from '~/platform/db'
import { createLog } from '~/platform/log'
import { createSweeper } from '~/platform/outbox/sweeper'
import { createRedis } from '~/platform/redis'
import { composing } from './mail-settings'

export interface WorkerOrder {
  databaseUrl: string
  redisUrl: string
  prefix: string
  queues: ('email' | 'audit' | 'sweeper')[]
  claimAfterMs: number
  holdSeconds: number
  /** See the mail worker. */
  firstRetryMs?: number
  leaseMarginMs?: number
  concurrency?: number
  /** When the sweeper publishes a row again that is not done. */
  retryUnfinishedMs?: number
  /** Absent: the mailbox. */
  sendgridUrl?: string
}

const order: WorkerOrder = JSON.parse(process.argv[2] ?? '')
const stop = new AbortController()
process.on('SIGTERM', () => stop.abort())
const parent = process.ppid
setInterval(() => {
  if (process.ppid !== parent) process.exit(1)
}, 500).unref()

const log = createLog({ level: 'debug', pretty: true })
const database = createDatabase({
  url: order.databaseUrl,
  poolSize: 8,
  prepare: true,
  statementTimeoutMs: 5000,
  connectTimeoutMs: 2000,
  acquireTimeoutMs: 5000,
  tls: 'auto',
  applicationName: 'test-worker',
  log,
})
const redis = createRedis({ url: order.redisUrl, keyPrefix: order.prefix, commandTimeoutMs: 500, name: 'test-worker', log })
const { claimAfterMs, queues, sendgridUrl, firstRetryMs, leaseMarginMs, concurrency, retryUnfinishedMs = 1000 } = order
const runs: Promise<void>[] = []
if (queues.includes('audit')) runs.push(createAuditWorker({ database, redis, log, claimAfterMs }).run(stop.signal))
if (queues.includes('sweeper'))
  runs.push(
    createSweeper({ database, redis, log, intervalMs: 200, unfinishedAfterMs: retryUnfinishedMs, unpublishedAfterMs: 200 }).run(
      stop.signal,
    ),
  )
if (queues.includes('email'))
  runs.push(
    createMailWorker({
      database,
      redis,
      log,
      sender:
        sendgridUrl === undefined
          ? createMailbox({ write: (line) => console.log(line) })
          : createSendGrid({ apiKey: 'SG.test', baseUrl: sendgridUrl }),
      from: 'noreply@evo.example',
      sendTimeoutMs: 2000,
      unknownHoldSeconds: order.holdSeconds,
      duePollMs: 200,
      claimAfterMs,
      ...(firstRetryMs === undefined ? {} : { firstRetryMs }),
      ...(leaseMarginMs === undefined ? {} : { leaseMarginMs }),
      ...(concurrency === undefined ? {} : { concurrency }),
      ...composing,
    }).run(stop.signal),
  )
await Promise.all(runs)
await Promise.all([redis.close(), database.close()])
process.exit(0)
