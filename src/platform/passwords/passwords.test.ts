import { afterAll, expect, test } from 'bun:test'
import { DomainError } from '../errors'
import { createPasswords } from './passwords'

const passwords = createPasswords({ cost: 5, threads: 1 })
afterAll(() => passwords.close())

const bcrypt = (password: string | Uint8Array, cost = 4) => Bun.password.hashSync(password, { algorithm: 'bcrypt', cost })
const LONG = `${'é'.repeat(36)}tail`

test('bcrypt hashes of every spelling are checked', async () => {
  const hash = bcrypt('a password')
  for (const prefix of ['$2a$', '$2b$', '$2y$'])
    expect([
      await passwords.verify('a password', { hash: hash.replace('$2b$', prefix) }),
      await passwords.verify('another one', { hash: hash.replace('$2b$', prefix) }),
    ]).toEqual([true, false])
})

test.each([
  ['nothing', ''],
  ['no hash', 'not a hash'],
  ['a truncated one', bcrypt('a password').slice(0, 50)],
  ['a broken salt', bcrypt('a password').replace(/^(.{7})../, '$1~~')],
  ['an absurd cost', bcrypt('a password').replace('$04$', '$31$')],
  ['argon2 with 4 GiB', '$argon2id$v=19$m=4194304,t=16,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'],
])('a stored hash that is %s is nobody’s, and quickly so', async (_what, hash) => {
  const startedAt = performance.now()
  expect(await passwords.verify('a password', { hash })).toBe(false)
  expect(performance.now() - startedAt).toBeLessThan(1000)
})

test('an empty password is nobody’s', async () => {
  expect(await passwords.verify('', { hash: bcrypt('a password') })).toBe(false)
})

test('PWD-03: what lies behind 72 bytes counts, and so does a NUL', async () => {
  const hash = await passwords.hash(LONG)
  expect(await passwords.verify(LONG, { hash })).toBe(true)
  expect(await passwords.verify(`${'é'.repeat(36)}other`, { hash })).toBe(false)
  expect(await passwords.verify('é'.repeat(36), { hash })).toBe(false)
  expect(await passwords.verify('a\0b', { hash: await passwords.hash('a\0c') })).toBe(false)
})

test('PWD-06: of an imported hash the first 72 bytes count, even where they end inside a letter', async () => {
  const password = `a${'é'.repeat(60)}`
  const hash = bcrypt(Buffer.from(password).subarray(0, 72))
  expect(await passwords.verify(password, { hash, isImported: true })).toBe(true)
  expect(await passwords.verify(password, { hash })).toBe(false)
  expect(await passwords.verify(`b${'é'.repeat(60)}`, { hash, isImported: true })).toBe(false)
})

test('PWD-01: a no takes as long for a cheap hash, a broken one and none at all', async () => {
  const dear = createPasswords({ cost: 9, threads: 1 })
  const kinds = { dear: { hash: bcrypt('x', 9) }, cheap: { hash: bcrypt('x', 4) }, broken: { hash: 'broken' }, none: undefined }
  const best: Record<string, number> = {}
  for (let round = 0; round < 8; round++)
    for (const [kind, stored] of Object.entries(kinds)) {
      const startedAt = performance.now()
      expect(await dear.verify('y', stored)).toBe(false)
      best[kind] = Math.min(best[kind] ?? Number.POSITIVE_INFINITY, performance.now() - startedAt)
    }
  dear.close()
  // The shortest of eight is hardly touched by what else the machine does; a check left out would make it half or nothing.
  const times = Object.values(best)
  expect(Math.max(...times) / Math.min(...times)).toBeLessThan(1.5)
})

test('PWD-11: beyond two seconds of work a password is turned away at once, and what was taken is answered', async () => {
  const busy = createPasswords({ cost: 9, threads: 1 })
  const startedAt = performance.now()
  const results = await Promise.allSettled(Array.from({ length: 200 }, () => busy.verify('y', undefined)))
  busy.close()
  const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
  expect(refused.length).toBeGreaterThan(50)
  expect(refused.every((reason) => reason instanceof DomainError && reason.problem === 'overloaded' && reason.retryAfterSeconds)).toBe(true)
  expect(results.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThan(20)
  expect(performance.now() - startedAt).toBeLessThan(15_000)
})

test('PWD-11: who comes while the queue is full is held, and let in or turned away within two seconds', async () => {
  const busy = createPasswords({ cost: 9, threads: 1 })
  const work = Promise.allSettled(Array.from({ length: 200 }, () => busy.verify('y', undefined)))
  const startedAt = performance.now()
  const held = await Promise.allSettled(Array.from({ length: 20 }, () => busy.waitForRoom()))
  expect(performance.now() - startedAt).toBeGreaterThan(90)
  expect(performance.now() - startedAt).toBeLessThan(2500)
  for (const outcome of held) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ problem: 'overloaded' })
  await work
  expect(await busy.waitForRoom()).toBeUndefined()
  busy.close()
  expect(await busy.waitForRoom().catch((error) => error)).toMatchObject({ problem: 'overloaded' })
})
