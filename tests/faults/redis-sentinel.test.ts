import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { silentLog } from '~/platform/log'
import { createSweeper } from '~/platform/outbox/sweeper'
import { findRedis } from '~/processes/find-redis'
import { createMailboxWorker } from '../support/mailbox-worker'
import { MASTER, type SentinelGroup, startSentinelGroup } from '../support/redis-sentinel'
import { signUpAnew, untilMailed } from '../support/sign-up-mails'
import { startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

setDefaultTimeout(60_000)
const MAILED_WITHIN_MS = 20_000

const binary = await findRedis({ mayInstall: false, log: silentLog }).catch(() => undefined)

describe.skipIf(binary === undefined)('behind Redis Sentinel (skipped where there is no redis-server)', () => {
  let group: SentinelGroup
  let app: TestApp
  const stopping = new AbortController()
  let working: Promise<unknown>

  beforeAll(async () => {
    group = await startSentinelGroup(binary ?? '')
    app = await startApp({ REDIS_URL: group.urls, REDIS_SENTINEL_MASTER: MASTER, REDIS_SENTINEL_PASSWORD: group.password })
    const { database, redis } = app.services.stores
    const sweeper = createSweeper({ database, redis, log: silentLog, intervalMs: 200, unfinishedAfterMs: 1000, unpublishedAfterMs: 3000 })
    working = Promise.all([createMailboxWorker(app.services, { duePollMs: 200 }), sweeper].map((worker) => worker.run(stopping.signal)))
  })

  afterAll(async () => {
    stopping.abort()
    await working
    await app.close()
    group.close()
  })

  const numberOfStreams = async () => {
    const streams = (await app.admin.call('GET', '/api/v1/admin/queues')).body.map(({ stream }: { stream: unknown }) => stream)
    return streams.filter(Boolean).length
  }

  test('the master is found through the first Sentinel that answers, in the database that the URL names', async () => {
    await untilMailed(app, await signUpAnew(app), MAILED_WITHIN_MS)
    const { admin } = await group.master()
    expect(await admin.info('keyspace')).toMatch(/^db3:/m)
    expect(await numberOfStreams()).toBe(4)
  })

  test('a master that is silent fails no request; its successor is found, and stays so when the silent one speaks again', async () => {
    const former = await group.master()
    former.kill('SIGSTOP')
    const emails = [await signUpAnew(app)]
    await until(async () => (await group.master()) !== former, 20_000)
    emails.push(await signUpAnew(app))
    for (const email of emails) await untilMailed(app, email, MAILED_WITHIN_MS)
    await until(async () => (await numberOfStreams()) === 4)
    former.kill('SIGCONT')
    await untilMailed(app, await signUpAnew(app), MAILED_WITHIN_MS)
    const { admin } = await group.master()
    expect(await admin.info('clients')).toMatch(/blocked_clients:[1-9]/)
    await until(async () => (await former.admin.info('clients')).includes('blocked_clients:0'))
  })
})
