import { afterAll, beforeAll, expect, test } from 'bun:test'
import { eq, sql } from 'drizzle-orm'
import { composeMail, findRecipients } from '~/features/mail/compose'
import { parseMailRequest } from '~/features/mail/schema'
import { users } from '~/features/users/table'
import { composing } from '../support/mail-settings'
import { linksTo } from '../support/mailed-links'
import { auditedBy, mailsAskedBy } from '../support/outbox'
import { PASSWORD, type Person, type Reply, startApp, type TestApp } from '../support/start-app'
import { all, outcomeOf, outcomes, withSurface } from './transport/row'

let app: TestApp
beforeAll(async () => {
  app = await startApp({ TRUSTED_PROXIES: '127.0.0.1', RATE_MAIL_REQUESTS_PER_HOUR: '30' })
})
afterAll(() => app.close())

let people = 0
const newAddress = () => `somebody-${people++}@example.com`
const newPerson = () => app.signIn(newAddress(), `Clients ${people}`)
/** Each from a network of its own, but where that is the point. */
const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  app.stranger('POST', `/api/v1/auth/${path}`, body, { 'x-forwarded-for': `10.${people >> 8}.${people++ & 255}.1`, ...headers })
const login = (email: string, password = PASSWORD) => post('login', { email, password })
const INVALID = '400 invalid-one-time-token'

/** A new user with a link to verify the address. */
async function register() {
  const email = newAddress()
  await post('register', { email, password: PASSWORD, name: 'Newcomers' })
  const [user] = await app.services.db.select({ id: users.id }).from(users).where(eq(users.email, email))
  const userId = user?.id ?? ''
  return { email, userId, token: (await linksTo(app, userId, 'verify-email'))[0] ?? '' }
}
async function forgot({ email, userId }: Pick<Person, 'email' | 'userId'>) {
  expect((await post('forgot-password', { email })).status).toBe(200)
  return (await linksTo(app, userId, 'reset-password')).at(-1) ?? ''
}
const reset = (token: string, new_password = 'four unusual words here') => post('reset-password', { token, new_password })
const verify = (token: string) => post('verify-email', { token })
const winners = (replies: Reply[]) => replies.flatMap(({ status }, index) => (status === 200 ? [index] : []))

test('OTT-01: a token works once, for what it was made for', async () => {
  const newcomer = await register()
  expect(outcomeOf(await reset(newcomer.token))).toBe(INVALID)
  expect((await verify(newcomer.token)).status).toBe(200)
  expect(outcomeOf(await verify(newcomer.token))).toBe(INVALID)
  expect((await login(newcomer.email)).status).toBe(200)
  const token = await forgot(newcomer)
  expect(outcomeOf(await verify(token))).toBe(INVALID)
  expect((await reset(token)).status).toBe(200)
  expect(outcomeOf(await reset(token))).toBe(INVALID)
})

test('OTT-02: of sixty-four parallel uses of one token one succeeds', async () => {
  const person = await newPerson()
  const token = await forgot(person)
  const passwords = Array.from({ length: 64 }, (_, index) => `an unusual password ${index}`)
  const resets = await Promise.all(passwords.map((password) => reset(token, password)))
  expect(winners(resets)).toHaveLength(1)
  const [won = -1] = winners(resets)
  expect((await login(person.email, passwords[won])).status).toBe(200)
  expect(outcomeOf(await login(person.email, passwords[(won + 1) % 64]))).toBe('401 invalid-credentials')

  const newcomer = await register()
  const verifications = await Promise.all(Array.from({ length: 50 }, () => verify(newcomer.token)))
  expect(winners(verifications)).toHaveLength(1)
  expect(new Set(verifications.map(outcomeOf))).toEqual(new Set(['200 body', INVALID]))
})

test('OTT-03: an expired, an unknown and a malformed token are answered alike', async () => {
  const [expired, newcomer] = [await forgot(await newPerson()), await register()]
  await app.services.db.execute(sql`update one_time_tokens set expires_at = now() - interval '1 second'`)
  const tokens = {
    expired,
    'expired, of the other kind': newcomer.token,
    unknown: 'A'.repeat(32),
    malformed: '%00 ../',
    short: 'x',
    long: 'A'.repeat(5000),
  }
  expect(await outcomes(tokens, async (token) => outcomeOf(await reset(token)))).toEqual(all(tokens, INVALID))
  expect(await outcomes(tokens, async (token) => outcomeOf(await verify(token)))).toEqual(all(tokens, INVALID))
  const body = async (token: string) => ({ ...(await reset(token)).body, trace_id: '' })
  expect(await body(expired)).toEqual(await body('A'.repeat(32)))
})

test('OTT-04, defect 44: a dump of the tables holds no token', async () => {
  const newcomer = await register()
  const token = await forgot(await newPerson())
  const dump = JSON.stringify(
    await app.services.db.execute(sql`select t::text from one_time_tokens t union all select u::text from users u`),
  )
  const queues = JSON.stringify(await app.services.db.execute(sql`select payload::text from outbox`))
  for (const secret of [newcomer.token, token, Buffer.from(token).toString('hex')]) expect(dump + queues).not.toContain(secret)
})

test('OTT-05, defect 49: a scanner that looks at the link before the user uses nothing up', async () => {
  const { token, email } = await register()
  const path = `/api/v1/auth/verify-email/${token}`
  for (let i = 0; i < 3; i++) expect((await app.stranger('HEAD', path)).status).toBe(200)
  expect(outcomeOf(await login(email))).toBe('403 email-not-verified')
  expect((await app.stranger('GET', path)).status).toBe(200)
  expect(outcomeOf(await app.stranger('GET', path))).toBe(INVALID)
  // The user's own click, after a scanner that followed the link: the account is theirs.
  expect((await login(email)).status).toBe(200)
})

test('OTT-06: no more than three mails an hour go to one address, and whoever asks is told the same', async () => {
  const { email, userId } = await newPerson()
  const unverified = await register()
  for (let i = 0; i < 11; i++) {
    for (const address of [email, newAddress()])
      expect(await post('forgot-password', { email: address })).toMatchObject({
        status: 200,
        body: { message: 'If the email is registered, you will receive instructions to reset your password.' },
      })
    expect((await post('resend-verification', { email: unverified.email })).status).toBe(200)
    expect((await post('register', { email, password: PASSWORD, name: 'Again' })).status).toBe(201)
  }
  const mails = (await mailsAskedBy(app)).filter(({ user_id }) => user_id === userId || user_id === unverified.userId)
  expect(mails.filter(({ user_id }) => user_id === userId)).toHaveLength(3)
  expect(mails.filter(({ user_id }) => user_id === unverified.userId)).toHaveLength(3)
  // The link of the last mail still works: what was asked for afterwards did not replace it.
  expect((await reset((await linksTo(app, userId, 'reset-password')).at(-1) ?? '')).status).toBe(200)
  await app.services.db.execute(sql`update attempt_counters set expires_at = now() - interval '1 second'`)
  await forgot({ email, userId })
  expect((await mailsAskedBy(app)).filter(({ user_id, template }) => user_id === userId && template === 'reset-password')).toHaveLength(3)
})

test('OTT-06: the hour begins with the first mail, so that asking again does not prolong it', async () => {
  const person = await newPerson()
  const pass = (minutes: number) =>
    app.services.db.execute(sql`update attempt_counters set expires_at = expires_at - ${minutes} * interval '1 minute'`)
  const mails = async () =>
    (await mailsAskedBy(app)).filter(({ user_id, template }) => user_id === person.userId && template === 'reset-password').length
  await forgot(person)
  await pass(40)
  for (let i = 0; i < 4; i++) await forgot(person)
  expect(await mails()).toBe(3)
  await pass(21)
  await forgot(person)
  expect(await mails()).toBe(4)
})

test('OTT-06: nobody is flooded with mails by people who ask for their address, nor asked again to verify it', async () => {
  const new_email = newAddress()
  for (let i = 0; i < 4; i++) {
    const person = await newPerson()
    expect((await person.call('POST', '/api/v1/auth/change-email', { current_password: PASSWORD, new_email })).status).toBe(200)
  }
  const asked = (await mailsAskedBy(app)).filter(({ template }) => template === 'change-email')
  const links = await app.services.db.execute<{ id: string }>(sql`select id from one_time_tokens where new_email = ${new_email}`)
  expect(asked.filter(({ token_id }) => links.some(({ id }) => id === token_id))).toHaveLength(3)

  const verified = await newPerson()
  expect((await post('resend-verification', { email: verified.email })).status).toBe(200)
  expect((await mailsAskedBy(app)).filter(({ user_id }) => user_id === verified.userId)).toEqual([])
})

test('OTT-06: one network may ask for so many mails an hour, then it is told to wait', async () => {
  const ask = () => post('forgot-password', { email: newAddress() }, { 'x-forwarded-for': `192.0.2.${people & 255}` })
  const replies: Reply[] = []
  for (let i = 0; i < 35; i++) replies.push(await ask())
  expect(replies.map(outcomeOf)).toEqual([...Array(30).fill('200 body'), ...Array(5).fill('429 rate-limited')])
  expect(Number(replies.at(-1)?.headers.get('retry-after'))).toBeGreaterThan(0)
  const person = await newPerson()
  const change = { current_password: PASSWORD, new_email: newAddress() }
  const here = { 'x-forwarded-for': '192.0.2.77' }
  expect(outcomeOf(await person.call('POST', '/api/v1/auth/change-email', change, here))).toBe('429 rate-limited')
})

/** What the worker makes of a request for a mail. */
async function written(request: Record<string, unknown> | undefined) {
  const parsed = parseMailRequest(request)
  if (parsed === undefined) throw new Error(`no mail request: ${JSON.stringify(request)}`)
  return app.services.stores.database.transaction(async (tx) => composeMail(tx, composing, parsed, await findRecipients(tx, [parsed])))
}

test('OTT-07: the link of a mail leads to the configured address, whatever host was asked', async () => {
  const { email, userId } = await newPerson()
  await withSurface(app, {}, async ({ url }) => {
    for (const headers of [{ host: 'evil.example' }, { 'x-forwarded-host': 'evil.example' }, { forwarded: 'host=evil.example' }])
      await fetch(`${url}/api/v1/auth/forgot-password`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ email }),
      })
  })
  const request = (await mailsAskedBy(app)).findLast(({ user_id, template }) => user_id === userId && template === 'reset-password')
  const mail = await written(request)
  expect(mail).toMatchObject({ to: email, link: expect.stringMatching(/^https:\/\/app\.example\/security\/reset-password\?token=\w{32}$/) })
})

test('defect 49: a link is valid for as long as its mail says', async () => {
  const { userId } = await register()
  await forgot(await newPerson())
  const rows = await app.services.db.execute<{ purpose: string; hours: number }>(
    sql`select purpose, round(extract(epoch from expires_at - created_at) / 3600)::int as hours from one_time_tokens
        where created_at > now() - interval '1 minute' and expires_at > now() order by id desc limit 2`,
  )
  expect(rows.map(({ purpose, hours }) => `${purpose} ${hours}`)).toEqual(['reset-password 1', 'verify-email 24'])
  const request = (await mailsAskedBy(app)).find(({ user_id, template }) => user_id === userId && template === 'verify-email')
  expect(await written(request)).toMatchObject({ text: expect.stringContaining('valid for 24 hours') })
})

test('a reset password ends a lock', async () => {
  const person = await newPerson()
  for (let i = 0; i < 5; i++) await post('login', { email: person.email, password: 'not it' }, { 'x-forwarded-for': '198.51.100.1' })
  const from = { 'x-forwarded-for': '198.51.100.2' }
  expect(outcomeOf(await post('login', { email: person.email, password: PASSWORD }, from))).toBe('429 too-many-attempts')
  await reset(await forgot(person), 'four other unusual words')
  expect((await post('login', { email: person.email, password: 'four other unusual words' }, from)).status).toBe(200)
})

test('an address is changed by the owner of both: asked for with the password, confirmed by a link to the new one', async () => {
  const person = await newPerson()
  const newEmail = newAddress()
  const ask = (current_password: string, new_email = newEmail) =>
    person.call('POST', '/api/v1/auth/change-email', { current_password, new_email })
  expect(outcomeOf(await ask('not the password'))).toBe('400 incorrect-password')
  expect(outcomeOf(await ask(PASSWORD, person.email.toUpperCase()))).toBe('422 validation-failed')
  const resetLink = await forgot(person)
  expect((await ask(PASSWORD)).status).toBe(200)
  const mails = (await mailsAskedBy(app)).filter(({ user_id }) => user_id === person.userId).slice(-2)
  expect(mails.map(({ template }) => template)).toEqual(['change-email', 'email-change-requested'])
  // The worker of these tests has another key, so it makes a link of its own; what counts is where they go.
  expect((await login(newEmail)).status).toBe(401)
  const [token = ''] = await linksTo(app, person.userId, 'change-email')
  const replies = await Promise.all(Array.from({ length: 20 }, () => post('confirm-email-change', { token })))
  expect(winners(replies)).toHaveLength(1)

  expect((await person.call('POST', '/api/v1/auth/me')).body).toMatchObject({ id: person.userId, email: newEmail, email_verified: true })
  expect(outcomeOf(await login(person.email))).toBe('401 invalid-credentials')
  expect((await login(newEmail)).status).toBe(200)
  expect(outcomeOf(await reset(resetLink))).toBe(INVALID)
  expect(await written(mails[1])).toMatchObject({ to: person.email, text: expect.stringContaining(newEmail) })
  const audited = (await auditedBy(app)).filter(({ resource_id }) => resource_id === person.userId).map(({ action }) => action)
  expect(audited).toContain('change_email')
})

test('a new password voids what was begun with the old one, as the mail about a change of address promises', async () => {
  const [changing, resetting] = [await newPerson(), await newPerson()]
  const change = { current_password: PASSWORD, new_password: 'four unusual words here' }
  const linkOf = async ({ call, userId }: Person) => {
    await call('POST', '/api/v1/auth/change-email', { current_password: PASSWORD, new_email: newAddress() })
    return (await linksTo(app, userId, 'change-email')).at(-1) ?? ''
  }
  const [link, resetLink, other] = [await linkOf(changing), await forgot(changing), await linkOf(resetting)]
  expect((await changing.call('POST', '/api/v1/auth/change-password', change)).status).toBe(200)
  expect(outcomeOf(await post('confirm-email-change', { token: link }))).toBe(INVALID)
  expect(outcomeOf(await reset(resetLink))).toBe(INVALID)
  expect((await login(changing.email, change.new_password)).status).toBe(200)

  expect((await reset(await forgot(resetting))).status).toBe(200)
  expect(outcomeOf(await post('confirm-email-change', { token: other }))).toBe(INVALID)
})

test('a reset password leaves the link that verifies the address', async () => {
  const newcomer = await register()
  expect((await reset(await forgot(newcomer))).status).toBe(200)
  expect((await verify(newcomer.token)).status).toBe(200)
})

test('the mail that confirms an address goes to that address', async () => {
  const person = await newPerson()
  const newEmail = newAddress()
  await person.call('POST', '/api/v1/auth/change-email', { current_password: PASSWORD, new_email: newEmail.toUpperCase() })
  const request = (await mailsAskedBy(app)).findLast(({ template }) => template === 'change-email')
  expect(await written(request)).toMatchObject({
    to: newEmail,
    userId: person.userId,
    link: expect.stringMatching(/\/security\/confirm-email-change\?token=\w{32}$/),
  })
})

test('an address that has an account, or gets one in the meantime, is not taken from it, and the answer does not tell', async () => {
  const [person, other] = [await newPerson(), await newPerson()]
  const ask = (new_email: string) => person.call('POST', '/api/v1/auth/change-email', { current_password: PASSWORD, new_email })
  const taken = await ask(other.email)
  const request = (await mailsAskedBy(app)).findLast(({ template }) => template === 'change-email')
  expect(await written(request)).toMatchObject({ skip: 'the address has an account already' })
  const free = await ask(newAddress())
  expect(taken.body).toEqual(free.body)

  const wanted = newAddress()
  await ask(wanted)
  const token = (await linksTo(app, person.userId, 'change-email')).at(-1) ?? ''
  await app.signIn(wanted, 'Quicker Ltd')
  expect(outcomeOf(await post('confirm-email-change', { token }))).toBe(INVALID)
  expect((await person.call('POST', '/api/v1/auth/me')).body.email).toBe(person.email)
})
