import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { issueToken } from '~/features/auth/one-time-token'
import type { Mail, MailSender } from '~/features/mail/sender'
import { deliveries } from '~/features/mail/table'
import { createMailWorker } from '~/features/mail/worker'
import { silentLog } from '~/platform/log'
import { createRelay } from '~/platform/outbox/relay'
import { streamKey } from '~/platform/outbox/streams'
import { createSweeper } from '~/platform/outbox/sweeper'
import { OUTBOX_KINDS, outbox } from '~/platform/outbox/table'
import { system } from '~/platform/principal'
import { createWrite, type Write } from '~/platform/unit-of-work'
import { type Background, openBackground } from '../support/background'
import { composing, TOKEN_KEY } from '../support/mail-settings'
import { until } from '../support/until'

setDefaultTimeout(30_000)

let world: Background
let write: Write
beforeAll(async () => {
  world = await openBackground()
  const { database, redis } = world
  write = createWrite({ database, relay: createRelay({ database, redis, log: silentLog }) })
})
afterAll(() => world.close())

const BULK = 200

async function askForBulk() {
  const userId = await world.addUser()
  await write(system, async ({ mail }) => {
    for (let i = 0; i < BULK; i++) mail({ template: 'welcome', user_id: userId })
  })
}

async function askForReset(): Promise<string> {
  const userId = await world.addUser()
  await write(system, async ({ tx, mail }) => {
    const { id } = await issueToken(tx, { key: TOKEN_KEY, userId, purpose: 'reset-password', ttlSeconds: 3600 })
    mail({ template: 'reset-password', user_id: userId, token_id: id })
  })
  return userId
}

/** A provider that takes mails with links at once, and of the others none before `release`. */
function createStubborn() {
  const released = Promise.withResolvers<void>()
  const taken: Mail[] = []
  const sender: MailSender = {
    name: 'sendgrid',
    async send(mail) {
      taken.push(mail)
      if (!isReset(mail)) await released.promise
      return {}
    },
    close() {},
  }
  const count = (which: (mail: Mail) => boolean) => taken.filter(which).length
  return { sender, release: () => released.resolve(), resets: () => count(isReset), bulk: () => count((mail) => !isReset(mail)) }
}

const isReset = ({ text }: Mail) => text.includes('/security/reset-password?token=')

/** One worker with four mails in hand of those that somebody waits for, and thus one of the others, or two with one that is repeated. */
async function whileWorking(work: (provider: ReturnType<typeof createStubborn>) => Promise<void>) {
  const stop = new AbortController()
  const provider = createStubborn()
  const { database, redis } = world
  const running = createMailWorker({
    database,
    redis,
    log: silentLog,
    sender: provider.sender,
    from: 'noreply@evo.example',
    sendTimeoutMs: 20_000,
    unknownHoldSeconds: 60,
    concurrency: 4,
    duePollMs: 20,
    ...composing,
  }).run(stop.signal)
  try {
    await work(provider)
  } finally {
    provider.release()
    stop.abort()
    await running
    await forgetAll()
  }
}

async function forgetAll() {
  for (const kind of OUTBOX_KINDS) await world.redis.run((client) => client.del(streamKey(world.redis, kind)))
  await world.db.update(outbox).set({ doneAt: sql`now()` }).where(sql`done_at is null`)
  await world.db.update(deliveries).set({ state: 'failed', nextAttemptAt: null }).where(sql`state in ('queued', 'sending', 'held')`)
}

describe('F-23: mails that somebody waits for go before those that nobody waits for', () => {
  test('one that is asked for while hundreds wait is the next to be sent', async () => {
    await askForBulk()
    await whileWorking(async (provider) => {
      await until(() => provider.bulk() > 0)
      await askForReset()
      await until(() => provider.resets() === 1)
      expect(provider.bulk()).toBe(1)
    })
  })

  test('also when Redis has lost all and the sweeper publishes them again', async () => {
    await askForBulk()
    await askForReset()
    const { database, redis, db } = world
    // What the relay has published is lost.
    await until(async () => (await world.lengthOf('email')) === 1 && (await world.lengthOf('email-bulk')) === BULK)
    for (const kind of OUTBOX_KINDS) await redis.run((client) => client.del(streamKey(redis, kind)))
    await db.update(outbox).set({ relayedAt: sql`now() - interval '1 hour'` }).where(sql`done_at is null`)
    expect((await createSweeper({ database, redis, log: silentLog }).sweep()).published).toBe(BULK + 1)
    await whileWorking(async (provider) => {
      await until(() => provider.resets() === 1 && provider.bulk() > 0)
      expect(provider.bulk()).toBe(1)
    })
  })

  test('also among those that are due for a repetition, however long the others have been', async () => {
    await askForBulk()
    await askForReset()
    await until(async () => (await world.lengthOf('email')) === 1 && (await world.lengthOf('email-bulk')) === BULK)
    for (const kind of OUTBOX_KINDS) await world.redis.run((client) => client.del(streamKey(world.redis, kind)))
    await world.db.execute(sql`
      insert into deliveries (id, outbox_id, template, recipient, subject, state, provider, attempts, next_attempt_at, bulk)
      select gen_random_uuid(), id, payload->>'template', '', '', 'queued', 'sendgrid', 1,
        now() - case kind when 'email' then interval '1 second' else interval '1 hour' end, kind = 'email-bulk'
      from outbox where done_at is null and kind in ('email', 'email-bulk')`)
    await whileWorking(async (provider) => {
      await until(() => provider.resets() === 1 && provider.bulk() > 0)
      expect(provider.bulk()).toBe(1)
    })
  })
})
