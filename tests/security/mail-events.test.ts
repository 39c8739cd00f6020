import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import { eq, sql } from 'drizzle-orm'
import { markFailed, markWaiting } from '~/features/mail/queries/attempts'
import { type DeliveryState, deliveries, emailEvents, emailSuppressions } from '~/features/mail/table'
import { outbox } from '~/platform/outbox/table'
import { mailsAskedBy } from '../support/outbox'
import { startApp, type TestApp } from '../support/start-app'
import { ECDSA_CASES } from './vectors-ecdsa'

setDefaultTimeout(30_000)

/** SendGrid's own published example: key, signature, timestamp and body, with the line break that belongs to it. */
const PUBLISHED = {
  key: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==',
  signature: 'MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=',
  timestamp: '1600112502',
  body:
    '[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",' +
    '"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",' +
    '"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n',
}
const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const OWN_KEY = own.publicKey.export({ format: 'der', type: 'spki' }).toString('base64')

let published: TestApp
let app: TestApp
beforeAll(async () => {
  published = await startApp({ SENDGRID_WEBHOOK_KEY: PUBLISHED.key, SENDGRID_WEBHOOK_TOLERANCE_SECONDS: '315360000' })
})
afterAll(async () => {
  await published.close()
  await app?.close()
})

interface Report {
  body: string
  signature?: string | undefined
  timestamp?: string | undefined
}
const post = async (to: TestApp, { body, signature, timestamp }: Report) => {
  const response = await fetch(`${to.url}/api/v1/webhooks/sendgrid`, {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      ...(signature && { 'x-twilio-email-event-webhook-signature': signature }),
      ...(timestamp && { 'x-twilio-email-event-webhook-timestamp': timestamp }),
    },
  })
  const text = await response.text()
  return `${response.status} ${text === '' ? '' : JSON.parse(text).type.replace(/.*\//, '')}`.trim()
}

describe("HOOK-01, HOOK-02: SendGrid's published example", () => {
  const countEvents = async () => (await published.services.db.select({ id: emailEvents.id }).from(emailEvents)).length

  test.each<[string, Partial<Report>]>([
    ['no headers', { signature: undefined, timestamp: undefined }],
    ['no signature', { signature: undefined }],
    ['no timestamp', { timestamp: undefined }],
    ['the body changed', { body: PUBLISHED.body.replace('hello', 'hallo') }],
    ['the body parsed and written again', { body: JSON.stringify(JSON.parse(PUBLISHED.body)) }],
    ['the timestamp changed', { timestamp: '1600112503' }],
    ['a digit moved from the timestamp to the body', { timestamp: '160011250', body: `2${PUBLISHED.body}` }],
    ['the signature changed', { signature: PUBLISHED.signature.replace('GHQ', 'GHR') }],
    ['a signature that is none', { signature: 'x'.repeat(96) }],
    ['an empty body', { body: '' }],
  ])('with %s is refused, and nothing is stored', async (_, change) => {
    expect(await post(published, { ...PUBLISHED, ...change })).toBe('401 invalid-signature')
    expect(await countEvents()).toBe(0)
  })

  test('is accepted as it came, by the bytes', async () => {
    expect(await post(published, PUBLISHED)).toBe('204')
    expect(await countEvents()).toBe(1)
    // About a mail that is none of ours: it silences nobody.
    expect(await published.services.db.select().from(emailSuppressions)).toEqual([])
  })
})

test('HOOK-04: no invalid signature of the Wycheproof cases is accepted, and no valid one refused', () => {
  for (const { key, cases } of ECDSA_CASES) {
    const publicKey = createPublicKey({ key: Buffer.from(key, 'hex'), format: 'der', type: 'spki' })
    for (const { id, msg, sig, valid } of cases)
      expect([id, verify('sha256', Buffer.from(msg, 'hex'), publicKey, Buffer.from(sig, 'hex'))]).toEqual([id, valid])
  }
})

describe('reports of a provider whose key is known', () => {
  beforeAll(async () => {
    app = await startApp({ SENDGRID_WEBHOOK_KEY: OWN_KEY })
  })

  const now = () => String(Math.floor(Date.now() / 1000))
  const report = (events: unknown, timestamp = now()): Report => {
    const body = `${JSON.stringify(events)}\r\n`
    return { body, timestamp, signature: sign('sha256', Buffer.from(timestamp + body), own.privateKey).toString('base64') }
  }
  const tell = (...events: object[]) => post(app, report(events))
  let number = 0
  const event = (deliveryId: string | undefined, name: string, more: object = {}) => ({
    email: 'Sam@acme.example',
    event: name,
    timestamp: 1_790_000_000 + number,
    sg_event_id: `event-${++number}`,
    sg_message_id: `msg-${deliveryId}.recvd-1.0`,
    ...(deliveryId && { delivery_id: deliveryId }),
    ...more,
  })
  /** A mail that the worker has brought so far. */
  const mail = async (state: DeliveryState, email = `${crypto.randomUUID()}@acme.example`) => {
    const id = Bun.randomUUIDv7()
    const outboxId = Bun.randomUUIDv7()
    const request = { template: 'password-changed', user_id: app.ada.userId }
    const { db } = app.services
    await db.insert(outbox).values({ id: outboxId, kind: 'email', payload: request })
    const lease = state === 'held' || state === 'sending' ? { nextAttemptAt: sql`now() + interval '1 hour'` } : {}
    await db
      .insert(deliveries)
      .values({ id, outboxId, template: request.template, recipient: email, subject: 's', state, provider: 'sendgrid', request, ...lease })
    return { id, outboxId, email }
  }
  const find = async (id: string) => (await app.services.db.select().from(deliveries).where(eq(deliveries.id, id)))[0]
  const isDone = async (id: string) => (await app.services.db.select().from(outbox).where(eq(outbox.id, id)))[0]?.doneAt != null

  test.each<[string[], DeliveryState]>([
    [['processed'], 'processed'],
    [['processed', 'deferred', 'delivered', 'open'], 'opened'],
    [['open', 'delivered', 'processed'], 'opened'],
    [['delivered', 'deferred'], 'delivered'],
    [['delivered', 'bounce'], 'bounced'],
    [['bounce', 'delivered'], 'bounced'],
    [['delivered', 'open', 'spamreport'], 'spam'],
    [['dropped'], 'dropped'],
    [['something_new'], 'sent'],
  ])('%p, one report each, end as %s', async (names, state) => {
    const { id } = await mail('sent')
    for (const name of names) expect(await tell(event(id, name))).toBe('204')
    expect((await find(id))?.state).toBe(state)
  })

  test.each(['sending', 'held'] as const)('a mail of unknown outcome (%s) is settled by its event, and not sent again', async (state) => {
    const { id, outboxId } = await mail(state)
    await tell(event(id, 'processed'))
    expect(await find(id)).toMatchObject({ state: 'processed', nextAttemptAt: null, providerMessageId: `msg-${id}` })
    expect(await isDone(outboxId)).toBe(true)
  })

  test('F-19, F-22: what a worker tells late, after the event or under a lease that passed on, changes nothing', async () => {
    const { database } = app.services.stores
    const settle = async ({ id, outboxId }: { id: string; outboxId: string }, leaseToken: number) => {
      const lease = { deliveryId: id, outboxId, leaseToken, attempts: 1 }
      const waiting = { state: 'queued', delayMs: 0, lastError: 'late' } as const
      return [
        await database.transaction((tx) => markWaiting(tx, lease, waiting)),
        await database.transaction((tx) => markFailed(tx, lease, 'late')),
      ]
    }
    const [told, taken] = [await mail('sending'), await mail('sending')]
    await tell(event(told.id, 'processed'))
    const { leaseToken = -1 } = (await find(taken.id)) ?? {}
    expect([await settle(told, leaseToken), await settle(taken, leaseToken + 1)]).toEqual([
      [false, false],
      [false, false],
    ])
    expect([(await find(told.id))?.state, (await find(taken.id))?.state]).toEqual(['processed', 'sending'])
    expect(await settle(taken, leaseToken)).toEqual([true, false])
  })

  test('HOOK-03: a report three times, and an event in two reports, count once', async () => {
    const { id } = await mail('sent')
    const twice = event(id, 'delivered')
    const same = report([twice, twice, event(id, 'processed')])
    for (let i = 0; i < 3; i++) expect(await post(app, same)).toBe('204')
    // The furthest of one report counts, in whatever order it tells.
    expect((await find(id))?.state).toBe('delivered')
    await tell(twice)
    const kept = await app.services.db.select().from(emailEvents).where(eq(emailEvents.deliveryId, id))
    expect(kept.map(({ event: name }) => name).toSorted()).toEqual(['delivered', 'processed'])
  })

  test('a report of a thousand events in one transaction; unknown ones and those of unknown mails are kept', async () => {
    const mails = await Promise.all(Array.from({ length: 20 }, () => mail('sent')))
    const events = Array.from({ length: 1000 }, (_, index) => event(mails[index % 20]?.id, index % 3 === 0 ? 'delivered' : `odd-${index}`))
    const before = (await app.services.db.select({ id: emailEvents.id }).from(emailEvents)).length
    expect(await tell(...events, event(crypto.randomUUID(), 'delivered'), event(undefined, 'group_unsubscribe'))).toBe('204')
    expect((await app.services.db.select({ id: emailEvents.id }).from(emailEvents)).length - before).toBe(1002)
    for (const { id } of mails) expect((await find(id))?.state).toBe('delivered')
  })

  test('what is odd in an event is left out; links and places of readers are not kept', async () => {
    const { id } = await mail('sent')
    const odd = { url: 'https://app.example/?token=T0ken', ip: '192.0.2.1', useragent: 'X', reason: 'a\0b', nested: { a: 1 }, attempt: 3 }
    expect(await tell(event(id, 'open', odd), { event: 'open' }, { sg_event_id: 'x' })).toBe('204')
    const [kept] = await app.services.db.select().from(emailEvents).where(eq(emailEvents.deliveryId, id))
    expect(kept?.details).toEqual({ reason: 'ab', attempt: 3, sg_message_id: `msg-${id}.recvd-1.0` })
  })

  test('a report that is too old is refused, and one that is signed but no list too', async () => {
    expect(await post(app, report([], String(Math.floor(Date.now() / 1000) - 90_000)))).toBe('401 invalid-signature')
    expect(await post(app, report([], String(Math.floor(Date.now() / 1000) + 90_000)))).toBe('401 invalid-signature')
    expect(await post(app, report({ event: 'open' }))).toBe('400 malformed-request')
    expect(await post(app, report([null, 1, 'x', []]))).toBe('204')
  })

  test('a bounced address is not written to any more, until an admin lifts that; a block is no bounce', async () => {
    const [hard, soft, spam] = [await mail('sent'), await mail('sent'), await mail('sent')]
    const bounce = event(hard.id, 'bounce', { email: hard.email.toUpperCase(), type: 'bounce' })
    await tell(
      bounce,
      event(soft.id, 'bounce', { email: soft.email, type: 'blocked' }),
      event(spam.id, 'spamreport', { email: spam.email }),
    )
    const { admin } = app
    const listed = await admin.call('GET', '/api/v1/admin/email-suppressions')
    const reasons = new Map(listed.body.map(({ email, reason }: Record<string, string>) => [email, reason]))
    expect([hard, soft, spam].map(({ email }) => reasons.get(email))).toEqual(['bounced', undefined, 'spam'])
    const resend = () => admin.call('POST', `/api/v1/admin/emails/${hard.id}/resend`)
    expect((await resend()).status).toBe(409)
    expect((await admin.call('DELETE', `/api/v1/admin/email-suppressions/${encodeURIComponent(hard.email)}`)).status).toBe(204)
    expect((await resend()).status).toBe(202)
    expect((await mailsAskedBy(app)).at(-1)).toEqual({ template: 'password-changed', user_id: app.ada.userId })
    // What was lifted stays so when the same event is told again.
    await tell(bounce)
    const after = await admin.call('GET', '/api/v1/admin/email-suppressions')
    expect(after.body.map(({ email }: { email: string }) => email)).not.toContain(hard.email)
  })

  test('an admin finds mails by state and recipient, with what the provider told', async () => {
    const { id, email } = await mail('sent')
    await tell(event(id, 'delivered', { response: '250 OK' }))
    const { admin } = app
    const found = await admin.call('GET', `/api/v1/admin/emails?state=delivered&recipient=${encodeURIComponent(email)}`)
    expect(found.body).toMatchObject([{ id, state: 'delivered', recipient: email }])
    expect(found.headers.get('x-total-count')).toBe('1')
    const shouted = await admin.call('GET', `/api/v1/admin/emails?recipient=${encodeURIComponent(email.toUpperCase())}`)
    expect(shouted.body).toMatchObject([{ id }])
    expect((await admin.call('GET', `/api/v1/admin/emails/${id}`)).body).toMatchObject({
      id,
      events: [{ event: 'delivered', details: { response: '250 OK' } }],
    })
    const page = await admin.call('GET', '/api/v1/admin/emails?limit=2')
    const next = /<([^>]+)>; rel="next"/.exec(page.headers.get('link') ?? '')?.[1] ?? ''
    expect((await admin.call('GET', next)).body[0].id).not.toBe(page.body[1].id)
  })
})

test('HOOK-05: without a key every report is refused, signed or not', async () => {
  const bare = await startApp()
  expect(await post(bare, PUBLISHED)).toBe('503 dependency-unavailable')
  expect(await post(bare, { body: '[]' })).toBe('503 dependency-unavailable')
  await bare.close()
})
