import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { eq } from 'drizzle-orm'
import { deliveries } from '~/features/mail/table'
import { insertDeadLetter } from '~/platform/outbox/dead-letters'
import { GROUP, streamKey } from '~/platform/outbox/streams'
import { outbox } from '~/platform/outbox/table'
import { auditedBy } from '../support/outbox'
import { startApp, type TestApp } from '../support/start-app'

setDefaultTimeout(30_000)

const TOKEN = 'Kd8Rm2Vx5Qp9Lw3Zt7Yb4Hc6Nf1Gs0Ja'
let app: TestApp
beforeAll(async () => {
  app = await startApp({ METRICS_TOKEN: TOKEN })
})
afterAll(() => app.close())

const queue = async (name: string) =>
  (await app.admin.call('GET', '/api/v1/admin/queues')).body.find((found: { name: string }) => found.name === name)
const dead = async () => (await app.admin.call('GET', '/api/v1/admin/queues/email/dead')).body

/** A mail that was given up. */
async function giveUp(reason: string, { withRow = true } = {}) {
  const { db, stores } = app.services
  const outboxId = Bun.randomUUIDv7()
  if (withRow) await db.insert(outbox).values({ id: outboxId, kind: 'email', payload: { template: 'welcome', user_id: app.ada.userId } })
  if (withRow)
    await db.insert(deliveries).values({
      id: Bun.randomUUIDv7(),
      outboxId,
      template: 'welcome',
      recipient: 'a@x.example',
      subject: 's',
      state: 'failed',
      provider: 'sendgrid',
      attempts: 30,
    })
  await stores.database.transaction((tx) =>
    insertDeadLetter(tx, { kind: 'email', outboxId: withRow ? outboxId : null, entry: { a: 1 }, reason }),
  )
  const letters = await dead()
  return { outboxId, letter: letters.find((found: { reason: string }) => found.reason === reason) }
}

test('an admin sees how far behind each queue is', async () => {
  const before = await queue('email')
  const { db, stores } = app.services
  await db.insert(outbox).values({ id: Bun.randomUUIDv7(), kind: 'email', payload: {}, createdAt: new Date(Date.now() - 60_000) })
  await stores.redis.run((client) => client.xadd(streamKey(stores.redis, 'email'), '*', 'id', 'x'))
  const after = await queue('email')
  expect(after.unfinished).toBe(before.unfinished + 1)
  expect(after.oldest_seconds).toBeGreaterThanOrEqual(59)
  expect(after.stream.length).toBeGreaterThanOrEqual(1)
  expect((await app.admin.call('GET', '/api/v1/admin/queues')).body.map(({ name }: { name: string }) => name)).toEqual([
    'email',
    'audit',
    'webhook',
    'email-bulk',
  ])
})

test('the lag is what no worker has read, also behind a failover, whose replica has not counted along', async () => {
  const { redis } = app.services.stores
  const stream = streamKey(redis, 'webhook')
  const add = () => redis.run((client) => client.xadd(stream, '*', 'id', 'x'))
  const read = (count: number) => redis.run((client) => client.xreadgroup('GROUP', GROUP, 'one', 'COUNT', count, 'STREAMS', stream, '>'))
  await redis.run((client) => client.xgroup('CREATE', stream, GROUP, '0', 'MKSTREAM'))
  const first = await Promise.all([add(), add()])
  await read(2)
  for (const id of first) await redis.run((client) => client.xack(stream, GROUP, String(id)).then(() => client.xdel(stream, String(id))))
  await redis.run((client) => client.call('XGROUP', 'SETID', stream, GROUP, String(first[1]), 'ENTRIESREAD', 0))
  expect((await queue('webhook')).stream).toMatchObject({ length: 0, lag: 0, pending: 0 })
  await add()
  await add()
  await read(1)
  expect((await queue('webhook')).stream).toMatchObject({ length: 2, lag: 1, pending: 1 })
})

test('what was set aside is replayed from the beginning, once, and audited', async () => {
  const { outboxId, letter } = await giveUp('gave up after 30 attempts')
  const path = `/api/v1/admin/queues/email/dead/${letter.id}`
  expect((await app.admin.call('POST', `${path}/replay`)).status).toBe(202)
  const { db } = app.services
  expect((await db.select().from(outbox).where(eq(outbox.id, outboxId)))[0]).toMatchObject({ doneAt: null, relayedAt: null })
  expect((await db.select().from(deliveries).where(eq(deliveries.outboxId, outboxId)))[0]).toMatchObject({ state: 'queued', attempts: 0 })
  expect((await app.admin.call('POST', `${path}/replay`)).status).toBe(404)
  expect((await dead()).map(({ id }: { id: string }) => id)).not.toContain(letter.id)
  expect((await auditedBy(app)).find(({ action }) => action === 'replay')).toMatchObject({
    resource_type: 'dead_letter',
    resource_id: letter.id,
  })
})

test('what names no work cannot be replayed, only discarded', async () => {
  const { letter } = await giveUp('not an outbox id', { withRow: false })
  const path = `/api/v1/admin/queues/email/dead/${letter.id}`
  expect((await app.admin.call('POST', `${path}/replay`)).status).toBe(409)
  expect((await app.admin.call('DELETE', path.replace('/email/', '/audit/'))).status).toBe(404)
  expect((await app.admin.call('DELETE', path)).status).toBe(204)
  expect((await app.admin.call('DELETE', path)).status).toBe(404)
})

test('Prometheus is shown requests by their pattern and the queues, with its token alone', async () => {
  await app.stranger('GET', `/api/v1/agents/${crypto.randomUUID()}`)
  await app.stranger('GET', '/nowhere/at/all')
  expect((await app.stranger('GET', '/metrics')).status).toBe(401)
  expect((await app.stranger('GET', '/metrics', undefined, { authorization: `Bearer ${app.admin.token}` })).status).toBe(401)
  const { status, headers, body } = await app.stranger('GET', '/metrics', undefined, { authorization: `Bearer ${TOKEN}` })
  expect(status).toBe(200)
  expect(headers.get('content-type')).toContain('text/plain')
  expect(body).toMatch(/evo_http_requests_total\{method="GET",route="\/api\/v1\/agents\/:agent_id",status="401",process="test-\w+"\} 1/)
  expect(body).toMatch(/evo_http_requests_total\{method="GET",route="none",status="404",process="test-\w+"\} 1/)
  expect(body).toMatch(/evo_queue_dead\{queue="email"\} \d/)
  expect(body).not.toContain('nowhere')
  expect(body.match(/# HELP evo_http_requests_total/g)).toHaveLength(1)
})
