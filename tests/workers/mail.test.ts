import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { eq, sql } from 'drizzle-orm'
import { deriveToken, hashToken, issueToken } from '~/features/auth/one-time-token'
import { oneTimeTokens } from '~/features/auth/table'
import { createMailbox } from '~/features/mail/mailbox'
import type { Mailbox, MailSender } from '~/features/mail/sender'
import { createSendGrid } from '~/features/mail/sendgrid'
import { deliveries, emailSuppressions } from '~/features/mail/table'
import { createMailWorker } from '~/features/mail/worker'
import { users } from '~/features/users/table'
import { silentLog } from '~/platform/log'
import { outbox } from '~/platform/outbox/table'
import { type Background, endProcess, lockTable, openBackground } from '../support/background'
import { APP_URL, composing, TOKEN_KEY } from '../support/mail-settings'
import { type Reaction, startSendGridSink } from '../support/sendgrid-sink'
import { until } from '../support/until'

setDefaultTimeout(30_000)

let world: Background
beforeAll(async () => {
  world = await openBackground()
})
afterAll(() => world.close())

/** Runs a worker in this process while `work` lasts. */
async function whileWorking(
  sender: MailSender | Mailbox,
  work: () => Promise<void>,
  { maxAttempts = 30, unknownHoldSeconds = 1, render = composing.render, leaseMarginMs = 15_000 } = {},
) {
  const stop = new AbortController()
  const { database, redis } = world
  const worker = createMailWorker({
    database,
    redis,
    log: silentLog,
    sender,
    from: 'noreply@evo.example',
    sendTimeoutMs: 500,
    unknownHoldSeconds,
    maxAttempts,
    duePollMs: 50,
    claimAfterMs: 300,
    leaseMarginMs,
    ...composing,
    render,
  })
  const running = worker.run(stop.signal)
  try {
    await work()
  } finally {
    stop.abort()
    await running
  }
}

const printed: string[] = []
const mailbox = createMailbox({ write: (line) => printed.push(line) })
const isDrained = async () => (await world.lengthOf('email')) === 0

async function withSink(
  reactions: Reaction[],
  work: (sink: Awaited<ReturnType<typeof startSendGridSink>>, sender: MailSender) => Promise<void>,
) {
  const sink = await startSendGridSink(reactions)
  try {
    await work(sink, createSendGrid({ apiKey: 'SG.test', baseUrl: sink.url }))
  } finally {
    await sink.close()
  }
}

/** Lets a waiting delivery be due now. */
const hasten = (outboxId: string) => world.db.update(deliveries).set({ nextAttemptAt: sql`now()` }).where(eq(deliveries.outboxId, outboxId))

describe('the development mailbox', () => {
  test('a mail is kept once, however often its row is named, and its link is printed', async () => {
    const { id, userId, tokenId } = await world.requestMail()
    for (let i = 0; i < 5; i++) await world.append('email', 'id', id)
    await whileWorking(mailbox, () => until(async () => (await world.isDone(id)) && isDrained()))
    const link = `${APP_URL}/security/verify-email?code=${deriveToken(TOKEN_KEY, tokenId)}`
    const delivery = await world.deliveryOf(id)
    expect(delivery).toMatchObject({
      state: 'sent',
      provider: 'mailbox',
      template: 'verify-email',
      userId,
      clientId: world.clientId,
      attempts: 1,
    })
    expect(delivery?.subject).toBe('Email Verification - Evo AI')
    expect(delivery?.bodyText).toContain(link)
    expect(delivery?.bodyHtml).toContain(link)
    expect(printed.filter((line) => line.includes(link))).toHaveLength(1)
  })

  test('OTT-04: neither the token nor the link stands in the outbox or the token table', async () => {
    const { id, tokenId } = await world.requestMail()
    const token = deriveToken(TOKEN_KEY, tokenId)
    const rows = await world.db.select().from(outbox).where(eq(outbox.id, id))
    const tokens = await world.db.select().from(oneTimeTokens).where(eq(oneTimeTokens.id, tokenId))
    expect(JSON.stringify([rows, tokens])).not.toContain(token)
    expect(tokens[0]?.tokenHash).toEqual(hashToken(token))
  })

  test('F-21: a link that expired in the queue is replaced by a fresh one', async () => {
    const { id, tokenId, userId } = await world.requestMail({ template: 'reset-password', ttlSeconds: -1 })
    await world.append('email', 'id', id)
    await whileWorking(mailbox, () => until(() => world.isDone(id)))
    const rows = await world.db.select().from(oneTimeTokens).where(eq(oneTimeTokens.userId, userId))
    expect(rows).toHaveLength(1)
    const fresh = rows[0] as (typeof rows)[number]
    expect(fresh.id).not.toBe(tokenId)
    expect(fresh.expiresAt.getTime()).toBeGreaterThan(Date.now() + 3_500_000)
    expect((await world.deliveryOf(id))?.bodyText).toContain(`/security/reset-password?token=${deriveToken(TOKEN_KEY, fresh.id)}`)
  })

  test('a link that was derived with a former key is replaced by one that works', async () => {
    const { id, tokenId, userId } = await world.requestMail()
    await world.db
      .update(oneTimeTokens)
      .set({ tokenHash: hashToken(deriveToken(Buffer.alloc(32, 8), tokenId)) })
      .where(eq(oneTimeTokens.id, tokenId))
    await world.append('email', 'id', id)
    await whileWorking(mailbox, () => until(() => world.isDone(id)))
    const [fresh] = await world.db.select().from(oneTimeTokens).where(eq(oneTimeTokens.userId, userId))
    const token = /code=(\w+)/.exec((await world.deliveryOf(id))?.bodyText ?? '')?.[1] ?? ''
    expect(fresh?.tokenHash).toEqual(hashToken(token))
  })

  test('a link that was used, replaced or whose user is gone is not mailed any more', async () => {
    const used = await world.requestMail()
    await world.db.update(oneTimeTokens).set({ usedAt: sql`now()` }).where(eq(oneTimeTokens.id, used.tokenId))
    const replaced = await world.requestMail()
    await world.database.transaction((tx) =>
      issueToken(tx, { key: TOKEN_KEY, userId: replaced.userId, purpose: 'verify-email', ttlSeconds: 60 }),
    )
    const orphaned = await world.requestMail()
    await world.db.delete(users).where(eq(users.id, orphaned.userId))
    for (const { id } of [used, replaced, orphaned]) await world.append('email', 'id', id)
    await whileWorking(mailbox, () =>
      until(async () => (await world.isDone(used.id)) && (await world.isDone(replaced.id)) && (await world.isDone(orphaned.id))),
    )
    expect(await world.deliveryOf(used.id)).toMatchObject({ state: 'failed', lastError: 'the link was used already', bodyText: null })
    expect(await world.deliveryOf(replaced.id)).toMatchObject({ state: 'failed', lastError: 'a newer link has taken its place' })
    expect(await world.deliveryOf(orphaned.id)).toMatchObject({ state: 'failed', lastError: 'the user is gone', userId: null })
  })
})

describe('QUEUE-02, QUEUE-03: what anybody can write into a stream', () => {
  test('a recipient or link beside the id makes the entry void; nothing is sent', async () => {
    const { id } = await world.requestMail()
    const forged = await world.append('email', 'id', id, 'to', 'eve@evil.example')
    await withSink([], async (sink, sender) => {
      await whileWorking(sender, () => until(isDrained))
      expect(sink.mails).toHaveLength(0)
    })
    expect(await world.deadLettersOfEntry(forged as string)).toHaveLength(1)
    expect(await world.isDone(id)).toBe(false)
  })

  test('an unknown id, an audit row and a payload that is no mail request are set aside; others are sent', async () => {
    const unknown = Bun.randomUUIDv7()
    const audit = await world.requestAudit()
    const malformed = await world.addOutboxRow('email', { template: 'no-such', user_id: await world.addUser(), to: 'eve@evil.example' })
    const { id } = await world.requestMail()
    for (const each of [unknown, audit, malformed, id]) await world.append('email', 'id', each)
    await withSink([], async (sink, sender) => {
      await whileWorking(sender, () => until(async () => (await world.isDone(id)) && isDrained()))
      expect(sink.mails).toHaveLength(1)
    })
    for (const each of [unknown, audit, malformed]) expect(await world.deadLettersOf(each)).toHaveLength(1)
    expect(await world.isDone(audit)).toBe(false)
    expect(await world.isDone(malformed)).toBe(true)
  })

  test('QUEUE-01: a name in the address is text, and an address that is more than one is not written to', async () => {
    const odd = await world.requestMail({ email: `{{link}}\${x}-${crypto.randomUUID()}@acme.example` })
    const list = await world.requestMail({ email: `a@acme.example,${crypto.randomUUID()}@evil.example` })
    const split = await world.requestMail({ email: `a\r\nBcc: ${crypto.randomUUID()}@evil.example` })
    for (const { id } of [odd, list, split]) await world.append('email', 'id', id)
    await withSink([], async (sink, sender) => {
      await whileWorking(sender, () => until(isDrained))
      expect(sink.mails).toHaveLength(1)
      expect(sink.mails[0]?.text).toContain(`Hello {{link}}\${x}-`)
      expect(sink.mails[0]?.subject).toBe('Email Verification - Evo AI')
    })
    expect((await world.deliveryOf(list.id))?.state).toBe('failed')
    expect((await world.deliveryOf(split.id))?.state).toBe('failed')
  })
})

test('F-20: a mail that cannot be written is set aside after five deliveries; those taken together with it are sent once', async () => {
  const poison = await world.requestMail({ email: `poison-${crypto.randomUUID()}@acme.example` })
  const others = await Promise.all(Array.from({ length: 5 }, () => world.requestMail()))
  const together = [...others.slice(0, 3), poison, ...others.slice(3)]
  for (const { id } of together) await world.append('email', 'id', id)
  const render: typeof composing.render = (template, facts) => {
    if (facts.email.startsWith('poison-')) throw new Error('cannot be written')
    return composing.render(template, facts)
  }
  await withSink([], async (sink, sender) => {
    const work = async () => {
      for (const { id } of others) await until(() => world.isDone(id))
      await until(() => world.isDone(poison.id))
      await until(isDrained)
    }
    await whileWorking(sender, work, { render })
    expect(sink.mails).toHaveLength(others.length)
  })
  expect((await world.deadLettersOf(poison.id)).map(({ reason }) => reason)).toEqual(['failed 5 times: Error: cannot be written'])
  expect(await world.deliveryOf(poison.id)).toBeUndefined()
})

describe('SendGrid', () => {
  test('202: sent, with the delivery as its custom argument and the message id kept', async () => {
    const email = `sam-${crypto.randomUUID()}@acme.example`
    const { id } = await world.requestMail({ email })
    await world.append('email', 'id', id)
    await withSink([], async (sink, sender) => {
      await whileWorking(sender, () => until(() => world.isDone(id)))
      const delivery = await world.deliveryOf(id)
      expect(delivery).toMatchObject({ state: 'sent', provider: 'sendgrid', providerMessageId: 'sg-1', bodyText: null, bodyHtml: null })
      expect(sink.mails).toMatchObject([{ deliveryId: delivery?.id, to: email, authorization: 'Bearer SG.test' }])
    })
  })

  test('an address that bounced before is not written to', async () => {
    const email = `bounced-${crypto.randomUUID()}@acme.example`
    await world.db.insert(emailSuppressions).values({ email, reason: 'bounced' })
    const { id } = await world.requestMail({ email: email.replace('bounced-', 'Bounced-') })
    await world.append('email', 'id', id)
    await withSink([], async (sink, sender) => {
      await whileWorking(sender, () => until(() => world.isDone(id)))
      expect(sink.mails).toHaveLength(0)
    })
    expect(await world.deliveryOf(id)).toMatchObject({ state: 'failed', lastError: 'the address is not written to any more: bounced' })
  })

  test.each<[string, Reaction]>([
    ['429', { status: 429, headers: { 'retry-after': '60' } }],
    ['500', { status: 500 }],
    ['401', { status: 401, body: { errors: [{ message: 'authorization grant is invalid' }] } }],
  ])('%s: waits, then is sent', async (status, reaction) => {
    const { id } = await world.requestMail()
    await world.append('email', 'id', id)
    await withSink([reaction], async (sink, sender) => {
      await whileWorking(sender, async () => {
        await until(async () => (await world.deliveryOf(id))?.state === 'queued')
        const waiting = await world.deliveryOf(id)
        const waitMs = (waiting?.nextAttemptAt?.getTime() ?? 0) - Date.now()
        if (status === '429') expect(waitMs).toBeWithin(55_000, 61_000)
        else expect(waitMs).toBeWithin(1000, 6000)
        expect(waiting).toMatchObject({ attempts: 1, leaseUntil: null })
        expect(waiting?.lastError).toStartWith(`SendGrid answered ${status}`)
        await world.append('email', 'id', id)
        await until(isDrained)
        expect(sink.mails).toHaveLength(1)
        await hasten(id)
        await until(() => world.isDone(id))
      })
      expect(sink.mails).toHaveLength(2)
      expect(sink.mails[0]).toEqual(sink.mails[1] as (typeof sink.mails)[0])
    })
    expect(await world.deliveryOf(id)).toMatchObject({ state: 'sent', attempts: 2, lastError: null })
  })

  test('400: never tried again, set aside with what SendGrid said', async () => {
    const { id } = await world.requestMail()
    await world.append('email', 'id', id)
    await withSink([{ status: 400, body: { errors: [{ message: 'The from address is not verified.' }] } }], async (sink, sender) => {
      await whileWorking(sender, () => until(() => world.isDone(id)))
      expect(sink.mails).toHaveLength(1)
    })
    expect(await world.deliveryOf(id)).toMatchObject({ state: 'failed', attempts: 1 })
    expect((await world.deadLettersOf(id))[0]?.reason).toBe('SendGrid answered 400: The from address is not verified.')
  })

  test('attempts have an end: failed and set aside', async () => {
    const { id } = await world.requestMail()
    await world.append('email', 'id', id)
    await withSink([{ status: 503 }, { status: 503 }], async (sink, sender) => {
      await whileWorking(
        sender,
        async () => {
          await until(async () => (await world.deliveryOf(id))?.state === 'queued')
          await hasten(id)
          await until(() => world.isDone(id))
        },
        { maxAttempts: 2 },
      )
      expect(sink.mails).toHaveLength(2)
    })
    expect((await world.deadLettersOf(id))[0]?.reason).toStartWith('gave up after 2 attempts')
  })

  test.each<[string, Reaction]>([
    ['cut off', 'cut'],
    ['never given', 'silence'],
  ])('F-22: an answer that is %s: held for its time, then sent once', async (_, reaction) => {
    const { id } = await world.requestMail()
    await world.append('email', 'id', id)
    await withSink([reaction], async (sink, sender) => {
      await whileWorking(
        sender,
        async () => {
          await until(async () => (await world.deliveryOf(id))?.state === 'held')
          await world.append('email', 'id', id)
          await until(isDrained)
          await Bun.sleep(500)
          expect(sink.mails).toHaveLength(1)
          await until(() => world.isDone(id))
          await Bun.sleep(200)
        },
        { unknownHoldSeconds: 2 },
      )
      expect(sink.mails).toHaveLength(2)
      expect(sink.mails[0]?.deliveryId).toBe(sink.mails[1]?.deliveryId as string)
    })
    expect(await world.deliveryOf(id)).toMatchObject({ state: 'sent', attempts: 2 })
  })

  test('a provider that refuses connections has been sent nothing: the mail waits, it is not held', async () => {
    const { id } = await world.requestMail()
    await world.append('email', 'id', id)
    const nowhere = createSendGrid({ apiKey: 'SG.test', baseUrl: 'http://127.0.0.1:1' })
    await whileWorking(nowhere, () => until(async () => (await world.deliveryOf(id))?.state === 'queued'))
    await withSink([], async (sink, sender) => {
      await hasten(id)
      await whileWorking(sender, () => until(() => world.isDone(id)))
      expect(sink.mails).toHaveLength(1)
    })
  })

  test('F-19: a worker that comes to send when its lease may be over does not', async () => {
    const { id } = await world.requestMail()
    await world.append('email', 'id', id)
    await withSink([], async (sink, sender) => {
      // As if it had been frozen: of its lease nothing is left but the time of the call.
      await whileWorking(sender, () => until(async () => (await world.deliveryOf(id))?.state === 'queued'), { leaseMarginMs: 0 })
      expect(sink.mails).toHaveLength(0)
      expect(await world.deliveryOf(id)).toMatchObject({ lastError: 'the worker woke up too late to send' })
      await hasten(id)
      await whileWorking(sender, () => until(() => world.isDone(id)))
      expect(sink.mails).toHaveLength(1)
    })
  })

  test('F-19: an outcome that comes after the lease has passed on is discarded', async () => {
    const { id } = await world.requestMail()
    await world.append('email', 'id', id)
    const answer = Promise.withResolvers<void>()
    const slow: MailSender = { name: 'sendgrid', close() {}, send: () => answer.promise.then(() => ({ providerMessageId: 'late' })) }
    await whileWorking(slow, async () => {
      await until(async () => (await world.deliveryOf(id))?.state === 'sending')
      await world.db.update(deliveries).set({ leaseToken: sql`lease_token + 1` }).where(eq(deliveries.outboxId, id))
      answer.resolve()
      await until(isDrained)
    })
    expect(await world.deliveryOf(id)).toMatchObject({ state: 'sending', providerMessageId: null })
    expect(await world.isDone(id)).toBe(false)
    // Its lease ends one day, and it must not turn up among the mails of another test.
    await world.db.update(deliveries).set({ state: 'failed', nextAttemptAt: null }).where(eq(deliveries.outboxId, id))
  })
})

describe('F-17: a worker killed between reading and acknowledging', () => {
  test('before it has taken the mails: each is kept once', async () => {
    const mails = await Promise.all(Array.from({ length: 20 }, () => world.requestMail()))
    await killWhileLocked(mails.map(({ id }) => id))
    for (const { id } of mails) expect(await world.deliveryOf(id)).toMatchObject({ state: 'sent', attempts: 1 })
  })

  test('before it has taken the mails: each is sent once', async () => {
    const mails = await Promise.all(Array.from({ length: 20 }, () => world.requestMail()))
    await withSink([], async (sink) => {
      await killWhileLocked(
        mails.map(({ id }) => id),
        sink.url,
      )
      expect(sink.mails).toHaveLength(20)
      expect(new Set(sink.mails.map(({ deliveryId }) => deliveryId)).size).toBe(20)
    })
  })

  test('after it has recorded a mail: it is not sent again', async () => {
    const { id } = await world.requestMail()
    await withSink([], async (sink) => {
      const worker = world.startWorker({ queues: ['email'], sendgridUrl: sink.url })
      await world.append('email', 'id', id)
      await until(() => world.isDone(id))
      worker.kill('SIGKILL')
      await worker.exited
      await world.append('email', 'id', id)
      const successor = world.startWorker({ queues: ['email'], sendgridUrl: sink.url })
      await until(isDrained)
      await endProcess(successor)
      expect(sink.mails).toHaveLength(1)
    })
  })

  test('while the provider has the mail: it is held, and only then sent again', async () => {
    const { id } = await world.requestMail()
    await withSink(['silence'], async (sink) => {
      const worker = world.startWorker({ queues: ['email'], sendgridUrl: sink.url })
      await world.append('email', 'id', id)
      await until(() => sink.mails.length === 1)
      worker.kill('SIGKILL')
      await worker.exited
      // Its lease, over at once.
      await world.db.update(deliveries).set({ leaseUntil: sql`now()`, nextAttemptAt: sql`now()` }).where(eq(deliveries.outboxId, id))
      const successor = world.startWorker({ queues: ['email'], sendgridUrl: sink.url, holdSeconds: 3600 })
      await until(async () => (await world.deliveryOf(id))?.state === 'held')
      expect(sink.mails).toHaveLength(1)
      await hasten(id)
      await until(() => world.isDone(id))
      await endProcess(successor)
      expect(sink.mails).toHaveLength(2)
    })
  })
})

/** The worker has read the entries and stands at its first statements about deliveries when it is killed; its successor does the work. */
async function killWhileLocked(ids: string[], sendgridUrl?: string) {
  const order = { queues: ['email' as const], ...(sendgridUrl === undefined ? {} : { sendgridUrl }) }
  const lock = await lockTable('deliveries')
  try {
    for (const id of ids) await world.append('email', 'id', id)
    const victim = world.startWorker(order)
    await until(async () => (await world.pendingOf('email')) > 0)
    await Bun.sleep(200)
    victim.kill('SIGKILL')
    await victim.exited
  } finally {
    await lock.release()
  }
  for (const id of ids) expect(await world.deliveryOf(id)).toBeUndefined()
  const successor = world.startWorker(order)
  await until(async () => {
    for (const id of ids) if (!(await world.isDone(id))) return false
    return isDrained()
  }, 20_000)
  await endProcess(successor)
}
