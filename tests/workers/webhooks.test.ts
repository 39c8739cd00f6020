import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { createHmac } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { and, eq, sql } from 'drizzle-orm'
import { leaseDelivery, recordOutcome } from '~/features/webhooks/queries/attempts'
import { webhookDeliveries } from '~/features/webhooks/table'
import { createWebhookWorker } from '~/features/webhooks/worker'
import { silentLog } from '~/platform/log'
import { appendToStream, streamLength } from '~/platform/outbox/streams'
import { deadLetters, outbox } from '~/platform/outbox/table'
import { system } from '~/platform/principal'
import { startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

setDefaultTimeout(30_000)

interface Call {
  headers: Record<string, string | string[] | undefined>
  body: string
}
const calls: Call[] = []
interface Answer {
  status: number
  headers?: Record<string, string>
  body?: string
}
/** For the calls to come; then 204. */
const answers: Answer[] = []
const receiver = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    calls.push({ headers: request.headers, body: Buffer.concat(chunks).toString() })
    const { status, headers, body } = answers.shift() ?? { status: 204 }
    response.writeHead(status, headers).end(body)
  })
})

let app: TestApp
let url: string
const stop = new AbortController()
let working: Promise<void>
beforeAll(async () => {
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(receiver.address() as AddressInfo).port}`
  url = `http://${host}/hook`
  app = await startApp({ OUTBOUND_ALLOW: host })
  const { database, redis, secrets } = app.services.stores
  const { outbound } = app.services
  working = createWebhookWorker({ database, redis, log: silentLog, secrets, outbound, retryAfterMs: [60_000], claimAfterMs: 500 }).run(
    stop.signal,
  )
})
afterAll(async () => {
  stop.abort()
  await working
  await app.close()
  receiver.close()
})

const path = () => `/api/v1/clients/${app.ada.clientId}/webhooks`
const create = async (events: string[] = ['agent.changed']) => (await app.ada.call('POST', path(), { url, events })).body
const notify = (data: Record<string, unknown>) =>
  app.services.write(system, async (unit) => unit.notify({ type: 'agent.changed', clientId: app.ada.clientId, data }))
const clear = async () => {
  for (const { id } of (await app.ada.call('GET', path())).body) await app.ada.call('DELETE', `${path()}/${id}`)
  calls.length = 0
}
const deliveriesOf = async (id: string) => (await app.ada.call('GET', `${path()}/${id}/deliveries`)).body

test('a repeated request with an Idempotency-Key makes one webhook, and shows no secret that is not its own', async () => {
  const asked = { url: 'https://93.184.216.34/', events: ['run.finished'] }
  const make = () => app.ada.call('POST', path(), asked, { 'idempotency-key': 'once' })
  const [first, second] = [await make(), await make()]
  expect([first.status, second.status, second.body]).toEqual([201, 201, { ...first.body, secret: null }])
  expect((await app.ada.call('DELETE', `${path()}/${first.body.id}`)).status).toBe(204)
  expect((await app.ada.call('GET', `${path()}/${first.body.id}/deliveries`)).status).toBe(404)
})

test('an event reaches the webhooks that want it, signed as Standard Webhooks has it; the secret is shown once and stored sealed', async () => {
  await clear()
  const { id, secret } = await create()
  await create(['run.finished'])
  expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
  expect((await app.ada.call('GET', `${path()}/${id}`)).body).not.toHaveProperty('secret')
  await notify({ agent_id: 'a1' })
  await until(() => calls.length === 1)
  const [call] = calls as [Call]
  const { 'webhook-id': webhookId, 'webhook-timestamp': timestamp, 'webhook-signature': signature } = call.headers
  const wanted = createHmac('sha256', Buffer.from(secret.slice(6), 'base64'))
    .update(`${webhookId}.${timestamp}.${call.body}`)
    .digest('base64')
  expect(signature).toBe(`v1,${wanted}`)
  expect(JSON.parse(call.body)).toMatchObject({ type: 'agent.changed', data: { agent_id: 'a1' } })
  await until(async () => (await deliveriesOf(id))[0].state === 'sent')
  expect(await deliveriesOf(id)).toMatchObject([{ id: webhookId, state: 'sent', attempts: 1, last_status: 204 }])
  const [row] = await app.services.db.execute(sql`select sealed_secret from webhooks where id = ${id}`)
  expect(String(row?.sealed_secret)).not.toContain(secret.slice(6))
})

test('what is not taken is tried again under the same id when its time has come, without Redis or the sweeper; then set aside, and replayed on request', async () => {
  await clear()
  const { id } = await create()
  answers.push({ status: 500 }, { status: 503 })
  await notify({})
  await until(async () => (await deliveriesOf(id))[0]?.state === 'queued' && calls.length === 1)
  const [{ id: deliveryId }] = await deliveriesOf(id)
  const { db } = app.services
  await db.update(webhookDeliveries).set({ nextAttemptAt: sql`now()` }).where(eq(webhookDeliveries.id, deliveryId))
  await until(async () => (await deliveriesOf(id))[0]?.state === 'failed')
  expect(calls.map(({ headers }) => headers['webhook-id'])).toEqual([deliveryId, deliveryId])
  expect(await db.select().from(deadLetters).where(eq(deadLetters.outboxId, deliveryId))).toMatchObject([
    { queue: 'webhook', reason: 'gave up after 2 attempts: answered 503' },
  ])
  expect((await app.ada.call('POST', `${path()}/${id}/deliveries/${deliveryId}/replay`)).status).toBe(202)
  await until(() => calls.length === 3)
  expect(calls[2]?.body).toBe(calls[0]?.body as string)
  expect(calls[2]?.headers['webhook-id']).not.toBe(deliveryId)
})

test('the status is the answer, whatever is said besides; a redirect is not followed, but may be over later', async () => {
  await clear()
  const { id } = await create()
  const page = 'x'.repeat(2_000_000)
  const at = (status: number, location: string, body = '') => ({ status, headers: { location }, body })
  answers.push({ status: 200, body: page }, { status: 500, body: page }, at(302, '/maintenance'), at(308, url, page))
  for (let event = 1; event <= 4; event++) {
    await notify({ event })
    await until(async () => (await deliveriesOf(id))[0]?.last_status !== null && calls.length === event)
  }
  expect((await deliveriesOf(id)).reverse()).toMatchObject([
    { state: 'sent', last_status: 200 },
    { state: 'queued', last_status: 500, last_error: 'answered 500' },
    { state: 'queued', last_status: 302, last_error: 'answered 302' },
    { state: 'queued', last_status: 308 },
  ])
})

test('who asks for time is given it, in seconds or as a date, an hour at most', async () => {
  await clear()
  const { id } = await create()
  const asked = ['600', new Date(Date.now() + 600_000).toUTCString(), '86400', new Date(0).toUTCString(), 'soon']
  answers.push(...asked.map((time) => ({ status: 503, headers: { 'retry-after': time } })))
  for (let event = 1; event <= asked.length; event++) {
    await notify({ event })
    await until(async () => (await deliveriesOf(id))[0]?.last_status !== null && calls.length === event)
  }
  const minutes = (await deliveriesOf(id)).map((delivery: { next_attempt_at: string }) =>
    Math.round((Date.parse(delivery.next_attempt_at) - Date.now()) / 60_000),
  )
  expect(minutes.reverse()).toEqual([10, 10, 60, 1, 1])
})

test('410 ends a delivery at once, and a webhook that is switched off is not called', async () => {
  await clear()
  const { id } = await create()
  answers.push({ status: 410 })
  await notify({})
  await until(async () => (await deliveriesOf(id))[0]?.state === 'failed')
  await app.ada.call('PUT', `${path()}/${id}`, { is_active: false })
  await notify({})
  await Bun.sleep(100)
  expect(await deliveriesOf(id)).toHaveLength(1)
  expect(calls).toHaveLength(1)
})

test('what waits for its next attempt is given up when its webhook is switched off, and is replayed by that webhook alone', async () => {
  await clear()
  const [{ id }, other] = [await create(), await create(['run.finished'])]
  answers.push({ status: 500 })
  await notify({})
  await until(async () => (await deliveriesOf(id))[0]?.state === 'queued' && calls.length === 1)
  const [{ id: deliveryId }] = await deliveriesOf(id)
  await app.ada.call('PUT', `${path()}/${id}`, { is_active: false })
  await app.services.db.update(webhookDeliveries).set({ nextAttemptAt: sql`now()` }).where(eq(webhookDeliveries.id, deliveryId))
  await until(async () => (await deliveriesOf(id))[0].state === 'failed')
  expect(await deliveriesOf(id)).toMatchObject([{ attempts: 1, last_error: 'the webhook is switched off' }])
  expect(calls).toHaveLength(1)
  expect((await app.ada.call('POST', `${path()}/${other.id}/deliveries/${deliveryId}/replay`)).status).toBe(404)
  expect((await app.ada.call('POST', `${path()}/${id}/deliveries/${deliveryId}/replay`)).status).toBe(409)
})

test('a worker that comes late, or before its time, changes nothing', async () => {
  await clear()
  const { id } = await create()
  answers.push({ status: 500 })
  await notify({})
  await until(async () => (await deliveriesOf(id))[0]?.state === 'queued' && calls.length === 1)
  const [{ id: deliveryId }] = await deliveriesOf(id)
  const { database, redis } = app.services.stores
  await appendToStream(redis, 'webhook', [deliveryId])
  await until(async () => (await streamLength(redis, 'webhook')) === 0)
  expect(calls).toHaveLength(1)
  const inTurn = async () => {
    const first = await database.transaction((tx) => leaseDelivery(tx, deliveryId, 60_000))
    const second = await database.transaction((tx) => leaseDelivery(tx, deliveryId, 60_000))
    const failed = { state: 'failed', status: null, error: 'late' } as const
    return [
      await database.transaction((tx) => recordOutcome(tx, first, failed)),
      await database.transaction((tx) => recordOutcome(tx, second, { state: 'sent', status: 204, error: null })),
      await database.transaction((tx) => recordOutcome(tx, second, failed)),
    ]
  }
  expect(await inTurn()).toEqual([false, true, false])
  expect(await deliveriesOf(id)).toMatchObject([{ state: 'sent', last_status: 204 }])
})

test('SSRF-01, SSRF-03: an address that is not public is refused when it is saved, and given up at once when it got in by other means', async () => {
  await clear()
  const { id } = await create()
  for (const bad of ['http://127.0.0.1/x', 'http://169.254.169.254/latest', 'file:///etc/hostname', 'https://[::1]/']) {
    expect((await app.ada.call('POST', path(), { url: bad, events: ['run.failed'] })).body.type).toEndWith('/url-not-allowed')
    expect((await app.ada.call('PUT', `${path()}/${id}`, { url: bad })).body.type).toEndWith('/url-not-allowed')
  }
  await app.services.db.execute(sql`update webhooks set url = 'http://169.254.169.254/latest' where id = ${id}::uuid`)
  await notify({})
  await until(async () => (await deliveriesOf(id))[0]?.state === 'failed')
  expect(await deliveriesOf(id)).toMatchObject([{ attempts: 1, last_status: null }])
})

test("another client's events and webhooks stay its own", async () => {
  await clear()
  const { id } = await create()
  await app.services.write(system, async (unit) => unit.notify({ type: 'agent.changed', clientId: app.bob.clientId, data: {} }))
  expect(await deliveriesOf(id)).toEqual([])
  expect((await app.bob.call('GET', `/api/v1/clients/${app.bob.clientId}/webhooks/${id}`)).status).toBe(404)
  expect(
    await app.services.db
      .select()
      .from(outbox)
      .where(and(eq(outbox.kind, 'webhook'), eq(outbox.clientId, app.bob.clientId))),
  ).toEqual([])
})
