import { afterAll, beforeAll, expect, spyOn, test } from 'bun:test'
import { eq, sql } from 'drizzle-orm'
import { loadConfig } from '~/config'
import { setPassword } from '~/features/users/queries'
import { users } from '~/features/users/table'
import { auditedBy, mailsAskedBy } from '../support/outbox'
import { PASSWORD, type Person, type Reply, startApp, type TestApp } from '../support/start-app'
import { openConnections, statementsDuring } from '../support/statements'
import { outcomeOf } from './transport/row'

let app: TestApp
beforeAll(async () => {
  app = await startApp({ MAX_LOGIN_ATTEMPTS: '100' })
  await openConnections(app.services.stores.database, 10)
})
afterAll(() => app.close())

let people = 0
const newAddress = () => `somebody-${people++}@example.com`
const newPerson = () => app.signIn(newAddress(), `Clients ${people}`)
const post = (path: string, body: unknown) => app.stranger('POST', `/api/v1/auth/${path}`, body)
const login = (email: string, password: string) => post('login', { email, password })
const register = (email: string, password = PASSWORD, name = 'Newcomers') => post('register', { email, password, name })
const hashOf = async (email: string) =>
  (
    await app.services.db
      .select({ hash: users.passwordHash, isImported: users.passwordIsImported })
      .from(users)
      .where(eq(users.email, email))
  )[0]
/** As another system stored it. */
const imported = async (password: string | Uint8Array, prefix = '$2b$', cost = 5) => {
  const { email } = await newPerson()
  const passwordHash = Bun.password.hashSync(password, { algorithm: 'bcrypt', cost }).replace('$2b$', prefix)
  await app.services.db.update(users).set({ passwordHash, passwordIsImported: true }).where(eq(users.email, email))
  return { email, passwordHash }
}
const withoutTrace = ({ status, body }: Reply) => ({ status, body: { ...body, trace_id: '' } })
const timed = async (work: () => Promise<unknown>) => {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}
/** Mann-Whitney: how many standard deviations the ranks of the first are off from chance. */
function rankSumZ(first: number[], second: number[]): number {
  const wins = first.reduce((sum, mine) => sum + second.filter((theirs) => mine > theirs).length, 0)
  const [n, m] = [first.length, second.length]
  return (wins - (n * m) / 2) / Math.sqrt((n * m * (n + m + 1)) / 12)
}
const median = (times: number[]) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN

test('PWD-01: an unknown address and a wrong password are answered alike, after the same work', async () => {
  const { email } = await newPerson()
  const known = await login(email, 'not the password')
  const unknown = await login(newAddress(), 'not the password')
  expect(outcomeOf(known)).toBe('401 invalid-credentials')
  expect(withoutTrace(unknown)).toEqual(withoutTrace(known))

  const checks = spyOn(app.services.passwords, 'verify')
  const work = async (address: string) => {
    checks.mockClear()
    const statements = await statementsDuring(() => login(address, 'not the password'))
    return { checks: checks.mock.calls.length, statements }
  }
  const forUnknown = await work(newAddress())
  expect(await work(email)).toEqual(forUnknown)
  expect(forUnknown.checks).toBe(1)
  expect(forUnknown.statements).toBeGreaterThan(3)
  checks.mockRestore()

  const times = { known: [] as number[], unknown: [] as number[] }
  for (let i = 0; i < 100; i++) {
    times.known.push(await timed(() => login(email, 'not the password')))
    times.unknown.push(await timed(() => login(newAddress(), 'not the password')))
  }
  // In turn, so that what else the machine does hits both alike: then neither is slower by rank, whatever the times are.
  expect(Math.abs(rankSumZ(times.known, times.unknown))).toBeLessThan(4)
  expect(Math.abs(median(times.known) - median(times.unknown))).toBeLessThan(Math.max(5, median(times.known) / 4))
})

test('PWD-02: an empty password is refused before hashing, one of spaces is like any other', async () => {
  const { email } = await newPerson()
  const checks = spyOn(app.services.passwords, 'verify')
  expect(outcomeOf(await login(email, ''))).toBe('422 validation-failed')
  expect(checks).not.toHaveBeenCalled()
  checks.mockRestore()
  expect(outcomeOf(await login(email, '        '))).toBe('401 invalid-credentials')
  expect((await register(newAddress(), '        ')).status).toBe(201)
})

test('PWD-03: two passwords that share their first 72 bytes are two', async () => {
  const email = newAddress()
  const long = 'x'.repeat(72)
  await register(email, `${long} and this`)
  await app.services.db.update(users).set({ isActive: true, emailVerified: true }).where(eq(users.email, email))
  expect(outcomeOf(await login(email, `${long} and that`))).toBe('401 invalid-credentials')
  expect(outcomeOf(await login(email, long))).toBe('401 invalid-credentials')
  expect((await login(email, `${long} and this`)).status).toBe(200)
})

test('PWD-04: no field for a password takes more than 128 characters', async () => {
  const person = await newPerson()
  const work = [spyOn(app.services.passwords, 'verify'), spyOn(app.services.passwords, 'hash')]
  const long = 'x'.repeat(100_000)
  const replies = [
    await login(person.email, long),
    await register(newAddress(), long),
    await post('reset-password', { token: 'x', new_password: long }),
    await post('accept-invitation', { token: 'x', name: 'x', password: long }),
    await person.call('POST', '/api/v1/auth/change-password', { current_password: long, new_password: PASSWORD }),
    await person.call('POST', '/api/v1/auth/change-password', { current_password: PASSWORD, new_password: long }),
    await app.admin.call('POST', '/api/v1/clients', { name: 'x', email: newAddress(), password: long }),
    await app.admin.call('POST', '/api/v1/admin/users', { name: 'x', email: newAddress(), password: long }),
  ]
  expect(replies.map(outcomeOf)).toEqual(Array(replies.length).fill('422 validation-failed'))
  for (const spy of work) {
    expect(spy).not.toHaveBeenCalled()
    spy.mockRestore()
  }
})

test.each(['$2a$', '$2b$', '$2y$'])('PWD-05: a hash %s of the earlier platform lets in, and is replaced', async (prefix) => {
  const { email, passwordHash } = await imported('a password of before', prefix)
  expect(outcomeOf(await login(email, 'another password'))).toBe('401 invalid-credentials')
  expect(await hashOf(email)).toEqual({ hash: passwordHash, isImported: true })
  expect((await login(email, 'a password of before')).status).toBe(200)
  const after = await hashOf(email)
  expect(after?.hash).toStartWith(`$2b$0${app.config.access.bcryptCost}$`)
  expect(after?.isImported).toBe(false)
  expect((await login(email, 'a password of before')).status).toBe(200)
})

test.each([4, 5])(
  'PWD-06: an imported password that was cut at 72 bytes, at cost %i, lets in once, and then only as a whole',
  async (cost) => {
    const password = `${'x'.repeat(72)} and more`
    const { email } = await imported(password.slice(0, 72), '$2b$', cost)
    expect((await login(email, password)).status).toBe(200)
    expect((await login(email, password)).status).toBe(200)
    expect(outcomeOf(await login(email, password.slice(0, 72)))).toBe('401 invalid-credentials')
  },
)

test('a stored hash that is none is a wrong password', async () => {
  for (const passwordHash of [
    '',
    'x',
    '$2b$04$',
    '$argon2id$v=19$m=4194304,t=16,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA',
    `$2b$31$${'.'.repeat(53)}`,
  ]) {
    const { email } = await newPerson()
    await app.services.db.update(users).set({ passwordHash }).where(eq(users.email, email))
    expect(outcomeOf(await login(email, PASSWORD))).toBe('401 invalid-credentials')
  }
})

test('PWD-12, PWD-13, defect 71: an address that has an account, however it is written, gets the same answer after the same work', async () => {
  const { email } = await newPerson()
  const [taken, fresh] = [await register(email.toUpperCase()), await register(newAddress())]
  expect(taken.status).toBe(201)
  expect(Object.keys(taken.body)).toEqual(Object.keys(fresh.body))
  expect(taken.body).toMatchObject({ email, is_active: false, email_verified: false })
  const hashes = spyOn(app.services.passwords, 'hash')
  const statements = await statementsDuring(() => register(email))
  expect(statements).toBe(await statementsDuring(() => register(newAddress())))
  expect(hashes).toHaveBeenCalledTimes(2)
  hashes.mockRestore()
  expect((await login(email, PASSWORD)).status).toBe(200)
  expect(outcomeOf(await app.admin.call('POST', '/api/v1/clients', { name: 'x', email, password: PASSWORD }))).toBe('409 conflict')
})

test('PWD-13: forgot and resend are answered alike for known and unknown addresses, after the same work', async () => {
  const verified = (await newPerson()).email
  const unverified = newAddress()
  await register(unverified)
  const known = { 'forgot-password': verified, 'resend-verification': unverified }
  for (const [path, email] of Object.entries(known)) {
    const [yes, no] = [await post(path, { email }), await post(path, { email: newAddress() })]
    expect(withoutTrace(yes)).toEqual(withoutTrace(no))
    expect(await statementsDuring(() => post(path, { email }))).toBe(await statementsDuring(() => post(path, { email: newAddress() })))
  }
})

test('PWD-14: no common password and none with the own names, on every way to set one', async () => {
  const code = ({ body }: Reply) => body.errors?.[0]?.code
  expect(code(await register(newAddress(), 'password1234'))).toBe('password-compromised')
  expect(code(await register(newAddress(), 'my evo-ai login'))).toBe('password-context')
  expect(code(await register(newAddress(), 'acme robotics!', 'Acme Robotics'))).toBe('password-context')
  const person = await newPerson()
  const change = (new_password: string) => person.call('POST', '/api/v1/auth/change-password', { current_password: PASSWORD, new_password })
  expect(code(await change('password1234'))).toBe('password-compromised')
  expect(code(await change(`${person.email.split('@')[0]}!`))).toBe('password-context')
  // Somebody else's first password is only for the start.
  expect((await app.admin.call('POST', '/api/v1/clients', { name: 'x', email: newAddress(), password: 'password1234' })).status).toBe(201)
})

test('PWD-15: a long passphrase of any characters is accepted', async () => {
  expect((await register(newAddress(), `${'a word, another and 🙂 '.repeat(3)}!`.slice(0, 64))).status).toBe(201)
})

test('PWD-04, PWD-15: the length of a password is counted in characters, an emoji as one of them', async () => {
  const longest = '🙂🌵🦀🚲'.repeat(32)
  const email = newAddress()
  expect((await register(email, longest)).status).toBe(201)
  // Found right, so that only the address is left to be confirmed.
  expect(outcomeOf(await login(email, longest))).toBe('403 email-not-verified')
  for (const password of [`${longest}x`, '🙂🌵🦀🚲', '🙂🌵🦀🚲abc'])
    expect(outcomeOf(await register(newAddress(), password))).toBe('422 validation-failed')
  expect((await register(newAddress(), '🙂🌵🦀🚲abcd')).status).toBe(201)
})

test('PWD-16: a changed password ends the other sign-ins and is told by mail', async () => {
  const person = await newPerson()
  const { body: other } = await login(person.email, PASSWORD)
  await person.call('POST', '/api/v1/auth/change-password', { current_password: PASSWORD, new_password: 'four unusual words here' })
  expect(outcomeOf(await app.callWith(other.access_token)('POST', '/api/v1/auth/me'))).toBe('401 invalid-token')
  expect(outcomeOf(await post('refresh', { refresh_token: other.refresh_token }))).toBe('401 invalid-token')
  expect((await person.call('POST', '/api/v1/auth/me')).status).toBe(200)
  expect(await mailsAskedBy(app)).toContainEqual({ template: 'password-changed', user_id: person.userId })
})

test('a password that was right when it was checked is good for nothing once another one is set', async () => {
  const verify = app.services.passwords.verify.bind(app.services.passwords)
  /** Somebody sets another password between the check of the old one and what it permits. */
  const overtaken = async (work: (person: Person) => Promise<Reply>) => {
    const person = await newPerson()
    const spy = spyOn(app.services.passwords, 'verify').mockImplementationOnce(async (...given) => {
      const right = await verify(...given)
      const passwordHash = await app.services.passwords.hash('four unusual words here')
      await setPassword(app.services.db, person.userId, { passwordHash })
      return right
    })
    const reply = await work(person)
    spy.mockRestore()
    expect((await login(person.email, 'four unusual words here')).status).toBe(200)
    return outcomeOf(reply)
  }
  const asOwner = (path: string, body: object) => (person: Person) =>
    person.call('POST', `/api/v1/auth/${path}`, { current_password: PASSWORD, ...body })
  expect([
    await overtaken(({ email }) => login(email, PASSWORD)),
    await overtaken(asOwner('change-password', { new_password: 'four words of a thief' })),
    await overtaken(asOwner('change-email', { new_email: newAddress() })),
  ]).toEqual(['401 invalid-credentials', '400 incorrect-password', '400 incorrect-password'])
})

test('PWD-17: what is wrong with an account is told after the right password alone', async () => {
  const unverified = newAddress()
  await register(unverified)
  const inactive = await newPerson()
  await app.services.db.update(users).set({ isActive: false }).where(eq(users.id, inactive.userId))
  expect([
    outcomeOf(await login(unverified, PASSWORD)),
    outcomeOf(await login(unverified, 'not the password')),
    outcomeOf(await login(inactive.email, PASSWORD)),
    outcomeOf(await login(inactive.email, 'not the password')),
  ]).toEqual(['403 email-not-verified', '401 invalid-credentials', '403 account-inactive', '401 invalid-credentials'])
})

test('PWD-18, defect 48: production does not start with the passwords of the manual, and has no default account', async () => {
  expect(() => loadConfig({ NODE_ENV: 'production', ADMIN_INITIAL_PASSWORD: 'strongpassword123' })).toThrow(
    'ADMIN_INITIAL_PASSWORD is the sample value',
  )
  expect(() => loadConfig({ NODE_ENV: 'production', DEMO_PASSWORD: 'demo123' })).toThrow('DEMO_PASSWORD is the sample value')
  expect(outcomeOf(await login('admin@evoai.com', 'strongpassword123'))).toBe('401 invalid-credentials')
  expect(outcomeOf(await login('demo@example.com', 'demo123'))).toBe('401 invalid-credentials')
})

test('every refused and every successful sign-in is in the audit log, without the password', async () => {
  const { email, userId } = await newPerson()
  await login(email, 'a very secret guess')
  const entries = (await auditedBy(app)).filter(({ resource_id }) => resource_id === userId)
  expect(entries.map(({ action }) => action)).toEqual(['login', 'login_failed'])
  const everything = await app.services.db.execute(sql`select payload::text from outbox`)
  expect(JSON.stringify(everything)).not.toContain('a very secret guess')
})
