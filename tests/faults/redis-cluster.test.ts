import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { eq } from 'drizzle-orm'
import { auditLogs } from '~/features/audit/table'
import { createAuditWorker } from '~/features/audit/worker'
import { createLiveLog } from '~/features/runs/live-log'
import { silentLog } from '~/platform/log'
import { createSweeper } from '~/platform/outbox/sweeper'
import { createRedis, RedisUnavailable, results, script } from '~/platform/redis'
import { findRedis } from '~/processes/find-redis'
import { createServices } from '~/processes/services'
import { withSurface } from '../security/transport/row'
import { readEvents, shownText } from '../support/events'
import { createMailboxWorker } from '../support/mailbox-worker'
import { type RedisCluster, startRedisCluster } from '../support/redis-cluster'
import { signUpAnew, untilMailed } from '../support/sign-up-mails'
import { PASSWORD, startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

setDefaultTimeout(60_000)
const MAILED_WITHIN_MS = 15_000

const binary = await findRedis({ mayInstall: false, log: silentLog }).catch(() => undefined)

describe.skipIf(binary === undefined)('on a Redis Cluster (skipped where there is no redis-server)', () => {
  let cluster: RedisCluster
  let app: TestApp
  let others: TestApp['services']
  let tool: ReturnType<typeof Bun.serve>
  const released = Promise.withResolvers<void>()
  const stopping = new AbortController()
  let working: Promise<unknown>

  beforeAll(async () => {
    tool = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      async fetch() {
        await released.promise
        return Response.json({ sunny: true })
      },
    })
    cluster = await startRedisCluster(binary ?? '')
    app = await startApp({
      REDIS_URL: cluster.urls,
      REDIS_CLUSTER: 'true',
      OUTBOUND_ALLOW: `127.0.0.1:${tool.port}`,
      RATE_WRITES_PER_MINUTE: '100',
    })
    others = createServices(app.config, { log: silentLog, owner: 'others', recoverEveryMs: 1000 })
    await others.stores.redis.ready(5000)
    working = work(others, stopping.signal)
  })

  afterAll(async () => {
    stopping.abort()
    await working
    await others.runner.stop(0)
    await others.close()
    await app.close()
    await tool.stop(true)
    cluster.close()
  })

  const openStore = () =>
    createRedis({ url: cluster.urls, cluster: true, keyPrefix: 'test:', commandTimeoutMs: 200, name: 'test', log: silentLog })

  const createAgent = async (name: string, config = {}) =>
    app.ada.call('POST', '/api/v1/agents/', { client_id: app.ada.clientId, name, type: 'llm', model: 'demo/echo', config })

  test('a mail and an audit entry go through relay, stream and worker, and the streams are empty after', async () => {
    const email = await signUpAnew(app)
    const { body: agent } = await createAgent('scout')
    await untilMailed(app, email, MAILED_WITHIN_MS)
    await until(async () => (await app.services.db.select().from(auditLogs).where(eq(auditLogs.resourceId, agent.id))).length === 1)
    const queues = async () => (await app.admin.call('GET', '/api/v1/admin/queues')).body as Queue[]
    await until(async () => (await queues()).every(({ stream }) => stream?.length === 0 && stream.pending === 0))
    expect((await queues()).map(({ name }) => name)).toEqual(['email', 'audit', 'webhook', 'email-bulk'])
    expect((await queues())[0]?.stream?.consumers).toBe(1)
    // By the relay: the sweeper would have been later.
    expect(app.logged()).not.toContain('were not published')
  })

  test('a chat streams, and who follows it in another process hears of it through the cluster', async () => {
    const { stores } = others
    const http_tools = [{ name: 'look', method: 'GET', endpoint: `http://127.0.0.1:${tool.port}/`, description: 'Looks' }]
    const { body: agent } = await createAgent('watch', { custom_tools: { http_tools } })
    const headers = { authorization: `Bearer ${app.ada.token}`, 'content-type': 'application/json' }
    const body = JSON.stringify({ message: '/tool look {}' })
    const chat = await fetch(`${app.url}/api/v1/chat/${agent.id}/user?stream=true`, { method: 'POST', headers, body })
    let runId: string | undefined
    const streamed = readEvents(chat, ({ data }) => {
      runId ??= data.run_id
      return false
    })
    await until(() => runId !== undefined)
    await withSurface(app, { services: others }, async ({ url }) => {
      const followed = readEvents(await fetch(`${url}/api/v1/runs/${runId}/events`, { headers }))
      const channel = stores.redis.key(`run:${runId}`)
      await until(async () => {
        const channels = await stores.redis.askServers((server) => server.pubsub('CHANNELS', channel))
        return channels.flat().includes(channel)
      })
      released.resolve()
      const [here, there] = await Promise.all([streamed, followed])
      expect(shownText(here)).toContain('sunny')
      expect(there).toEqual(here)
    })
  })

  test('a follower is woken by what another process appends, and finds it', async () => {
    const run = { id: crypto.randomUUID(), leaseToken: 1 }
    const [writer, reader] = [app, { services: others }].map(({ services }) =>
      createLiveLog({ redis: services.stores.redis, log: silentLog }),
    ) as [ReturnType<typeof createLiveLog>, ReturnType<typeof createLiveLog>]
    const follower = reader.follow(run.id)
    await follower.read(0)
    const channel = app.services.stores.redis.key(`run:${run.id}`)
    await until(async () => {
      const heard = await app.services.stores.redis.askServers((server) => server.pubsub('NUMSUB', channel))
      return heard.some((reply) => reply[1] === 1)
    })
    const entry = { seq: 1, type: 'text-delta' as const, data: { text: 'a' } }
    const woken = follower.wait(50_000, new AbortController().signal)
    expect(await writer.append(run, [entry])).toBe(true)
    await woken
    expect(await follower.read(0)).toEqual([entry])
    expect(await writer.erase([run.id])).toBe(1)
    follower.close()
    reader.close()
    writer.close()
  })

  test('rates are counted for all processes together, a revoked sign-in is refused by all, and wrong passwords lock', async () => {
    const person = await app.signIn(`${crypto.randomUUID()}@x.example`, 'Few Ltd')
    const few = { ...app.config, rates: { ...app.config.rates, requestsPerMinute: 10 } }
    const [here, there] = [1, 2].map((index) => createServices(few, { log: silentLog, owner: `few-${index}`, recoverEveryMs: 1000 }))
    const ask = async (url: string) =>
      (await fetch(`${url}/api/v1/auth/sessions`, { headers: { authorization: `Bearer ${person.token}` } })).status
    await Promise.all([here?.stores.redis.ready(5000), there?.stores.redis.ready(5000)])
    await withSurface(app, { services: here ?? {} }, ({ url: hereUrl }) =>
      withSurface(app, { services: there ?? {} }, async ({ url: thereUrl }) => {
        const statuses: number[] = []
        for (let i = 0; i < 10; i++) statuses.push(await ask(hereUrl), await ask(thereUrl))
        expect(statuses.slice(0, 10)).toEqual(Array(10).fill(200))
        expect(statuses.slice(-5)).toEqual(Array(5).fill(429))
      }),
    )
    await Promise.all([here, there].flatMap((services) => [services?.runner.stop(0), services?.close()]))

    const wrong = () => app.stranger('POST', '/api/v1/auth/login', { email: person.email, password: 'not the password' })
    for (let i = 0; i < 5; i++) expect((await wrong()).status).toBe(401)
    expect((await app.stranger('POST', '/api/v1/auth/login', { email: person.email, password: PASSWORD })).status).not.toBe(200)

    expect((await app.bob.call('POST', '/api/v1/auth/logout-all')).status).toBeLessThan(300)
    expect((await app.bob.call('GET', '/api/v1/auth/sessions')).status).toBe(401)
  })

  test('a script runs on each node that has forgotten it, and all nodes are asked whether they drop keys', async () => {
    const redis = openStore()
    expect(await redis.ready(5000)).toBe(true)
    const echo = script<string>('return KEYS[1]', 1)
    await redis.askServers((server) => server.script('FLUSH'))
    for (const key of keysOfAll()) expect(await redis.run((client) => echo(client, key))).toBe(key)
    expect(redis.evicts).toBe(false)
    const [, , third] = cluster.nodes
    await third?.admin.config('SET', 'maxmemory', '1gb')
    await third?.admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    const fresh = openStore()
    await until(() => fresh.evicts)
    await third?.admin.config('SET', 'maxmemory-policy', 'noeviction')
    await third?.admin.config('SET', 'maxmemory', '0')
    await Promise.all([redis.close(), fresh.close()])
  })

  test('a master that is frozen costs a few late commands, then what is its fails at once, and the others go on', async () => {
    const redis = openStore()
    await redis.ready(5000)
    const [key = ''] = keysOfAll()
    const owner = await cluster.ownerOf(key)
    const elsewhere = await Promise.all(keysOfAll().map(async (other) => ((await cluster.ownerOf(other)) === owner ? [] : [other])))
    for (const { admin } of cluster.nodes) await admin.config('SET', 'cluster-require-full-coverage', 'no')
    owner.kill('SIGSTOP')
    const ask = () => redis.run((client) => results(client.pipeline().incr(key)))
    try {
      await expect(ask()).rejects.toBeInstanceOf(RedisUnavailable)
      // The circuit of the node is open when nothing is sent to it any more.
      await until(async () => {
        const startedAt = performance.now()
        await expect(ask()).rejects.toBeInstanceOf(RedisUnavailable)
        return performance.now() - startedAt < 100
      })
      expect(redis.available).toBe(true)
      // A live one may have been too slow for the circuit: it is back with the next handshake.
      for (const other of elsewhere.flat()) await until(() => redis.run((client) => client.set(other, '1')).then(Boolean, () => false))
    } finally {
      owner.kill('SIGCONT')
      await cluster.untilWhole()
      for (const { admin } of cluster.nodes) await admin.config('SET', 'cluster-require-full-coverage', 'yes')
    }
    await until(() => ask().then(Boolean, () => false))
    await redis.close()
  })

  test('a killed master fails no request, and what was asked for meanwhile arrives when it is back', async () => {
    const owner = await cluster.ownerOf(app.services.stores.redis.key('stream', 'email'))
    await owner.end()
    const emails = [await signUpAnew(app)]
    const agents = [await createAgent('first')]
    // The others notice too, and refuse everything.
    await until(async () => {
      const states = await Promise.all(cluster.nodes.filter((node) => node !== owner).map(({ admin }) => admin.cluster('INFO')))
      return states.every((state) => state.includes('cluster_state:fail'))
    })
    emails.push(await signUpAnew(app))
    agents.push(await createAgent('second'))
    expect((await app.admin.call('GET', '/api/v1/admin/queues')).status).toBe(200)
    expect(agents.map(({ status }) => status)).toEqual([201, 201])
    owner.start()
    await cluster.untilWhole()
    for (const email of emails) await untilMailed(app, email, MAILED_WITHIN_MS)
    for (const { body } of agents)
      await until(
        async () => (await app.services.db.select().from(auditLogs).where(eq(auditLogs.resourceId, body.id))).length === 1,
        15_000,
      )
    await until(() =>
      app.services.stores.redis.run((client) => client.set(app.services.stores.redis.key('any'), '1')).then(Boolean, () => false),
    )
  })
})

interface Queue {
  name: string
  stream: { length: number; pending: number; consumers: number } | null
}

/** Of each third of the slots one at least. */
const keysOfAll = () => Array.from({ length: 12 }, (_, index) => `test:${index}`)

/** What a worker process does. */
function work(services: TestApp['services'], signal: AbortSignal): Promise<unknown> {
  const { database, redis } = services.stores
  const mail = createMailboxWorker(services, { duePollMs: 200 })
  const audit = createAuditWorker({ database, redis, log: silentLog })
  const sweeper = createSweeper({ database, redis, log: silentLog, intervalMs: 200, unfinishedAfterMs: 1000, unpublishedAfterMs: 3000 })
  return Promise.all([mail, audit, sweeper].map((worker) => worker.run(signal)))
}
