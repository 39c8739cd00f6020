import { afterAll, beforeAll, expect, type Mock, spyOn, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { silentLog } from '~/platform/log'
import { RedisUnavailable } from '~/platform/redis'
import { createServices } from '~/processes/services'
import { auditedBy, mailsAskedBy } from '../support/outbox'
import { PASSWORD, type Person, type Reply, startApp, type TestApp } from '../support/start-app'
import { outcomeOf, withSurface } from './transport/row'

const MAX = 5
let app: TestApp
let hashChecks: Mock<TestApp['services']['passwords']['verify']>
beforeAll(async () => {
  app = await startApp({
    TRUSTED_PROXIES: '127.0.0.1',
    MAX_LOGIN_ATTEMPTS: String(MAX),
    LOGIN_LOCKOUT_MINUTES: '30',
    // How many attempts come through is the matter here, not how fast this machine is.
    DATABASE_ACQUIRE_TIMEOUT_MS: '30000',
    DATABASE_STATEMENT_TIMEOUT_MS: '30000',
  })
  hashChecks = spyOn(app.services.passwords, 'verify')
})
afterAll(() => app.close())

let people = 0
const newPerson = () => app.signIn(`person-${people++}@example.com`, `Clients ${people}`)
const newAddress = () => `nobody-${people++}@example.com`

const HOME = '198.51.100.7'
const login = (email: string, password: string, from = HOME): Promise<Reply> =>
  app.stranger('POST', '/api/v1/auth/login', { email, password }, { 'x-forwarded-for': from })
const guess = (email: string, from?: string) => login(email, 'not the password', from)
const failures = async (email: string, from = HOME) => {
  const outcomes: string[] = []
  for (let i = 0; i < MAX; i++) outcomes.push(outcomeOf(await guess(email, from)))
  expect(outcomes).toEqual(Array(MAX).fill('401 invalid-credentials'))
}
const LOCKED = '429 too-many-attempts'
/** As if so much time had passed. */
const passMinutes = (minutes: number) =>
  app.services.db.execute(sql`update attempt_counters set expires_at = expires_at - ${minutes} * interval '1 minute'`)
const counts = async () =>
  (
    await app.services.db.execute<{ network: string; count: number }>(sql`select network, count from attempt_counters order by network`)
  ).map(({ network, count }) => `${network} ${count}`)
const mailsOf = async ({ userId }: Person) =>
  (await mailsAskedBy(app)).filter(({ user_id }) => user_id === userId).map(({ template }) => template)
const forget = () => app.services.db.execute(sql`truncate attempt_counters`)

test('PWD-07: the sixth attempt after five failures is refused, with the right password too, alike for a known and an unknown address', async () => {
  const person = await newPerson()
  const nobody = newAddress()
  await failures(person.email)
  await failures(nobody)
  hashChecks.mockClear()
  const [known, unknown] = [await login(person.email, PASSWORD), await login(nobody, PASSWORD)]
  for (const reply of [known, unknown]) {
    expect(outcomeOf(reply)).toBe(LOCKED)
    const seconds = Number(reply.headers.get('retry-after'))
    expect(seconds).toBeGreaterThan(1700)
    expect(seconds).toBeLessThanOrEqual(1800)
  }
  const { trace_id: _, ...body } = known.body
  expect(unknown.body).toMatchObject(body)
  expect(hashChecks).not.toHaveBeenCalled()
})

test('a lock ends with its time, and a success gives all attempts back', async () => {
  const person = await newPerson()
  await failures(person.email)
  await passMinutes(29)
  expect(outcomeOf(await login(person.email, PASSWORD))).toBe(LOCKED)
  await passMinutes(2)
  expect((await login(person.email, PASSWORD)).status).toBe(200)
  for (let i = 0; i < MAX - 1; i++) await guess(person.email)
  expect((await login(person.email, PASSWORD)).status).toBe(200)
  await failures(person.email)
})

test('PWD-08: of two hundred parallel guesses five are checked, the counter is exact, and there is one mail', async () => {
  await forget()
  const person = await newPerson()
  await forget()
  hashChecks.mockClear()
  const replies = await Promise.all(Array.from({ length: 200 }, () => guess(person.email)))
  const outcomes = Object.groupBy(replies.map(outcomeOf), (outcome) => outcome)
  expect(Object.keys(outcomes).toSorted()).toEqual(['401 invalid-credentials', LOCKED])
  expect(outcomes['401 invalid-credentials']).toHaveLength(MAX)
  expect(outcomes[LOCKED]).toHaveLength(200 - MAX)
  expect(hashChecks).toHaveBeenCalledTimes(MAX)
  expect(await counts()).toEqual(['* 5', '198.51.100.0/24 5'])
  expect((await mailsOf(person)).filter((template) => template === 'account-locked')).toHaveLength(1)
  const audited = (await auditedBy(app)).filter(({ resource_id }) => resource_id === person.userId).map(({ action }) => action)
  expect(audited.toSorted()).toEqual(['lock', 'login', ...Array(MAX).fill('login_failed')])
})

test('PWD-09: strangers cannot lock the owner out of a network that was theirs before', async () => {
  const person = await newPerson()
  expect((await login(person.email, PASSWORD, '203.0.113.9')).status).toBe(200)
  let reached = 0
  for (let network = 0; network < 21; network++) {
    const replies = await Promise.all(Array.from({ length: MAX }, () => guess(person.email, `10.0.${network}.1`)))
    reached += replies.filter(({ status }) => status === 401).length
  }
  // All networks together.
  expect(reached).toBe(100)
  expect(outcomeOf(await login(person.email, PASSWORD, '192.0.2.1'))).toBe(LOCKED)
  expect((await login(person.email, PASSWORD, '203.0.113.77')).status).toBe(200)
  // Everywhere else it lasts one window, and counting refused attempts does not prolong it.
  await passMinutes(15)
  expect(outcomeOf(await guess(person.email, '192.0.2.1'))).toBe(LOCKED)
  await passMinutes(16)
  expect((await login(person.email, PASSWORD, '192.0.2.1')).status).toBe(200)
})

test('PWD-09: when strangers have used up all tries of all networks the owner is told once, and an admin gives them back', async () => {
  const person = await newPerson()
  const spread = async (attempts: number) => {
    for (let n = 0; n < attempts; n++) expect(outcomeOf(await guess(person.email, `10.1.${n % 25}.1`))).toBe('401 invalid-credentials')
  }
  await spread(100)
  expect((await mailsOf(person)).filter((template) => template === 'account-locked')).toHaveLength(1)
  expect(outcomeOf(await login(person.email, PASSWORD, '10.2.0.1'))).toBe(LOCKED)
  expect((await app.admin.call('POST', `/api/v1/admin/users/${person.userId}/unlock`)).status).toBe(200)
  expect((await login(person.email, PASSWORD, '10.2.0.1')).status).toBe(200)
})

test('a success from an unknown network gives back the tries of all networks together', async () => {
  const person = await newPerson()
  for (let n = 0; n < 95; n++) await guess(person.email, `10.3.${n % 25}.1`)
  expect((await login(person.email, PASSWORD, '192.0.2.1')).status).toBe(200)
  for (let n = 0; n < 10; n++) expect(outcomeOf(await guess(person.email, `10.4.${n}.1`))).toBe('401 invalid-credentials')
})

test('a lock holds for the network alone: /24 of IPv4, /64 of IPv6', async () => {
  const person = await newPerson()
  await failures(person.email, '2001:db8:1:2::1')
  expect(outcomeOf(await login(person.email, PASSWORD, '2001:db8:1:2:ffff::9'))).toBe(LOCKED)
  expect((await login(person.email, PASSWORD, '2001:db8:1:3::1')).status).toBe(200)
})

test('of many who give the right password at the same time none is locked out, on one replica or on two', async () => {
  const person = await newPerson()
  const services = createServices(app.config, { log: silentLog, owner: 'another-replica', recoverEveryMs: 1000 })
  await withSurface(app, { services }, async ({ url }) => {
    const body = JSON.stringify({ email: person.email, password: PASSWORD })
    const headers = { 'content-type': 'application/json', 'x-forwarded-for': HOME }
    const there = async () => (await fetch(`${url}/api/v1/auth/login`, { method: 'POST', headers, body })).status
    const here = async () => (await login(person.email, PASSWORD)).status
    const together = async (calls: (() => Promise<number>)[]) => {
      expect(await Promise.all(calls.map((call) => call()))).toEqual(Array(calls.length).fill(200))
    }
    await together(Array(20).fill(here))
    await together([...Array(10).fill(here), ...Array(10).fill(there)])
  }).finally(() => services.close())
})

test('PWD-10: one password against many accounts from one address meets the limit of the address, and locks no account', async () => {
  await forget()
  const rates = { ...app.config.rates, signInPerMinute: 20 }
  const services = createServices({ ...app.config, rates }, { log: silentLog, owner: 'few-sign-ins', recoverEveryMs: 1000 })
  // Without it the limit is that of one process alone.
  await services.stores.redis.ready(5000)
  await withSurface(app, { services }, async ({ url }) => {
    const spray = async () => {
      const body = JSON.stringify({ email: newAddress(), password: 'Summer2026!' })
      const headers = { 'content-type': 'application/json', 'x-forwarded-for': '203.0.113.200' }
      const response = await fetch(`${url}/api/v1/auth/login`, { method: 'POST', headers, body })
      return outcomeOf({ status: response.status, headers: response.headers, body: await response.json() })
    }
    const outcomes: string[] = []
    for (let i = 0; i < 30; i++) outcomes.push(await spray())
    expect(outcomes.slice(0, 20)).toEqual(Array(20).fill('401 invalid-credentials'))
    expect(outcomes.slice(-5)).toEqual(Array(5).fill('429 rate-limited'))
  }).finally(() => services.close())
  expect((await counts()).filter((count) => !count.endsWith(' 1'))).toEqual([])
})

test('without Redis the lock holds all the same', async () => {
  const person = await newPerson()
  const redis = spyOn(app.services.stores.redis, 'run').mockImplementation(() => Promise.reject(new RedisUnavailable('gone')))
  try {
    await failures(person.email)
    expect(outcomeOf(await login(person.email, PASSWORD))).toBe(LOCKED)
  } finally {
    redis.mockRestore()
  }
})

test('an admin ends a lock', async () => {
  const person = await newPerson()
  await failures(person.email)
  expect(outcomeOf(await login(person.email, PASSWORD))).toBe(LOCKED)
  const unlocked = await app.admin.call('POST', `/api/v1/admin/users/${person.userId}/unlock`)
  expect(unlocked).toMatchObject({ status: 200, body: { id: person.userId } })
  expect((await login(person.email, PASSWORD)).status).toBe(200)
  expect(await auditedBy(app)).toContainEqual(expect.objectContaining({ action: 'unlock', resource_id: person.userId }))
  expect(outcomeOf(await app.admin.call('POST', `/api/v1/admin/users/${crypto.randomUUID()}/unlock`))).toBe('404 not-found')
})

test('the own password, asked for before a change, is guessed at under the same limit', async () => {
  const person = await newPerson()
  const change = () =>
    person.call('POST', '/api/v1/auth/change-password', { current_password: 'not the password', new_password: 'four unusual words here' })
  const outcomes: string[] = []
  for (let i = 0; i <= MAX; i++) outcomes.push(outcomeOf(await change()))
  expect(outcomes).toEqual([...Array(MAX).fill('400 incorrect-password'), LOCKED])
})

test('what keeps a password from being checked does not count as a failure', async () => {
  const person = await newPerson()
  hashChecks.mockImplementation(() => Promise.reject(new Error('no thread')))
  for (let i = 0; i < MAX + 1; i++) expect((await login(person.email, PASSWORD)).status).toBe(500)
  hashChecks.mockRestore()
  expect((await login(person.email, PASSWORD)).status).toBe(200)
})
