import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createMailboxWorker } from '../support/mailbox-worker'
import { linkCode } from '../support/newcomer'
import { PASSWORD, startApp, type TestApp } from '../support/start-app'

let app: TestApp
const stopping = new AbortController()
let working: Promise<void>

beforeAll(async () => {
  app = await startApp()
  working = createMailboxWorker(app.services).run(stopping.signal)
})
afterAll(async () => {
  stopping.abort()
  await working
  await app.close()
})

const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  app.stranger('POST', `/api/v1/auth/${path}`, body, headers)
const login = (email: string, password = PASSWORD) => post('login', { email, password })
const register = (email: string) => post('register', { email, password: PASSWORD, name: 'New Ltd' })
const mailsTo = async (email: string) =>
  (
    (await app.stranger('GET', '/dev/mailbox', undefined, { accept: 'application/json' })).body as {
      to: string
      template: string
      text: string
    }[]
  ).filter(({ to }) => to === email)

test('a sign-up is verified by the link of its mail, once, and signs in only then', async () => {
  const email = 'new@example.com'
  const registered = await register(email)
  expect(registered).toMatchObject({ status: 201, body: { email, is_active: false, email_verified: false, is_admin: false } })
  expect(await login(email)).toMatchObject({ status: 403, body: { detail: 'Email not verified' } })
  expect((await login(email, 'wrong password')).status).toBe(401)
  const code = await linkCode(app.url, email)
  expect((await app.stranger('HEAD', `/api/v1/auth/verify-email/${code}`)).status).toBe(200)
  expect((await app.stranger('GET', `/api/v1/auth/verify-email/${code}`)).body).toEqual({
    message: 'Email verified successfully. Your account is active.',
  })
  const again = await app.stranger('GET', `/api/v1/auth/verify-email/${code}`)
  expect(again.status).toBe(400)
  expect(again.body.type).toEndWith('/invalid-one-time-token')
  const { body } = await login(email)
  expect(body).toMatchObject({ token_type: 'bearer' })
  const me = await app.stranger('POST', '/api/v1/auth/me', undefined, { authorization: `Bearer ${body.access_token}` })
  expect(me).toMatchObject({ status: 200, body: { email, is_active: true, email_verified: true, client_id: registered.body.client_id } })
})

test('mails are written in the language of the sign-up, and in another once it is chosen', async () => {
  const email = 'nova@example.com'
  const signUp = { email, password: PASSWORD, name: 'Nova Lda' }
  const registered = await post('register', signUp, { 'accept-language': 'fr, pt-BR;q=0.9, en;q=0.5' })
  expect(registered).toMatchObject({ status: 201, body: { locale: 'pt' } })
  const code = await linkCode(app.url, email)
  await app.stranger('GET', `/api/v1/auth/verify-email/${code}`)
  const { access_token } = (await login(email)).body
  const greetings = async (template: string) =>
    (await mailsTo(email)).filter((mail) => mail.template === template).map(({ text }) => /Hello|Olá/.exec(text)?.[0])
  expect(await greetings('verify-email')).toEqual(['Olá'])

  const choose = (body: unknown) => app.stranger('PUT', '/api/v1/auth/locale', body, { authorization: `Bearer ${access_token}` })
  expect(await choose({ locale: 'xx' })).toMatchObject({ status: 422, body: { errors: [{ pointer: '/locale' }] } })
  expect(await choose({ locale: 'en', email: 'else@example.com' })).toMatchObject({ status: 422 })
  expect(await choose({ locale: 'en' })).toMatchObject({ status: 200, body: { email, locale: 'en' } })
  await post('forgot-password', { email })
  while ((await greetings('reset-password')).length === 0) await Bun.sleep(30)
  expect(await greetings('reset-password')).toEqual(['Hello'])
})

test('a taken address gets the same answer, and its owner a notice', async () => {
  const taken = await register('ADA@example.com')
  expect(taken).toMatchObject({ status: 201, body: { email: 'ada@example.com', is_active: false } })
  expect(taken.body.id).not.toBe(app.ada.userId)
  while (!(await mailsTo('ada@example.com')).some(({ template }) => template === 'already-registered')) await Bun.sleep(30)
  expect((await login('Ada@Example.com')).status).toBe(200)
})

test('nobody keeps others from signing up by naming their address as that of a client', async () => {
  const email = 'squatted@example.com'
  const squatter = `/api/v1/clients/${app.bob.clientId}`
  expect((await app.bob.call('PUT', squatter, { name: 'Bob Ltd', email })).status).toBe(200)
  const registered = await register(email.toUpperCase())
  expect((await app.stranger('GET', `/api/v1/auth/verify-email/${await linkCode(app.url, email)}`)).status).toBe(200)
  const { access_token } = (await login(email)).body
  const own = { authorization: `Bearer ${access_token}` }
  const rename = (name: string, address = email) =>
    app.stranger('PUT', `/api/v1/clients/${registered.body.client_id}`, { name, email: address }, own)
  expect(await rename('Renamed')).toMatchObject({ status: 200, body: { name: 'Renamed', email } })
  expect((await rename('Renamed', app.ada.email)).status).toBe(409)
  expect((await rename('Moved', 'moved@example.com')).status).toBe(200)
  expect((await rename('Moved', email)).status).toBe(409)
})

test('sixty-four parallel registrations of one address make one account', async () => {
  const replies = await Promise.all(Array.from({ length: 64 }, () => register('crowd@example.com')))
  // On a machine that is busy otherwise some may be turned away; none may fail.
  expect(replies.filter(({ status }) => status !== 201 && status !== 503)).toEqual([])
  const rows = await app.services.db.execute<{ total: number }>(
    "select count(*)::int as total from users where email = 'crowd@example.com'",
  )
  expect(rows[0]?.total).toBe(1)
})

test('a reset link sets one password, once, and ends every sign-in', async () => {
  const person = await app.signIn('forgetful@example.com', 'Forgetful Ltd')
  expect((await post('forgot-password', { email: person.email })).status).toBe(200)
  expect((await post('forgot-password', { email: 'nobody@example.com' })).body).toEqual(
    (await post('forgot-password', { email: person.email })).body,
  )
  // Only the newest link works: the second mail's, unless the first one found its link replaced and was never sent.
  const idle = async () => (await app.services.db.execute("select 1 from outbox where kind = 'email' and done_at is null")).length === 0
  while (!(await idle())) await Bun.sleep(50)
  const token = /token=(\w+)/.exec((await mailsTo(person.email))[0]?.text ?? '')?.[1]
  const passwords = Array.from({ length: 16 }, (_, index) => `another password ${index}`)
  const resets = await Promise.all(passwords.map((new_password) => post('reset-password', { token, new_password })))
  const won = resets.findIndex(({ status }) => status === 200)
  expect(resets.map(({ status }) => status).sort()).toEqual([200, ...Array(15).fill(400)])
  expect((await login(person.email, passwords[won])).status).toBe(200)
  expect((await login(person.email)).status).toBe(401)
  expect((await person.call('POST', '/api/v1/auth/me')).status).toBe(401)
})

test('a changed password ends the other sign-ins and keeps this one', async () => {
  const person = await app.signIn('changing@example.com', 'Changing Ltd')
  const { body: other } = await login(person.email)
  const change = (current_password: string) =>
    person.call('POST', '/api/v1/auth/change-password', { current_password, new_password: 'a quite different one' })
  expect(await change('not the password')).toMatchObject({ status: 400, body: { detail: 'Current password is incorrect' } })
  expect(await change(PASSWORD)).toMatchObject({ status: 200, body: { message: 'Password changed successfully' } })
  expect((await person.call('POST', '/api/v1/auth/me')).status).toBe(200)
  expect((await app.stranger('POST', '/api/v1/auth/me', undefined, { authorization: `Bearer ${other.access_token}` })).status).toBe(401)
})

test('a logout is effective at the next request', async () => {
  const person = await app.signIn('leaving@example.com', 'Leaving Ltd')
  expect((await person.call('POST', '/api/v1/auth/me')).status).toBe(200)
  expect((await person.call('POST', '/api/v1/auth/logout')).status).toBe(204)
  const after = await person.call('POST', '/api/v1/auth/me')
  expect(after.status).toBe(401)
  expect(after.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
})

test('what signs in is never stored or logged in clear', async () => {
  const code = await linkCode(app.url, 'new@example.com')
  const stored = await app.services.db.execute('select token_hash::text as hash, id::text from one_time_tokens')
  expect(JSON.stringify(stored)).not.toContain(code)
  expect(app.logged()).not.toContain(PASSWORD)
  expect(app.logged()).not.toContain(app.ada.token)
})
