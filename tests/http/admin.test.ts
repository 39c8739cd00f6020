import { afterAll, beforeAll, expect, spyOn, test } from 'bun:test'
import { and, eq, isNull } from 'drizzle-orm'
import { authSessions } from '~/features/sign-ins/table'
import { users } from '~/features/users/table'
import { linksTo } from '../support/mailed-links'
import { auditedBy, mailsAskedBy } from '../support/outbox'
import { PASSWORD, startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp({ RATE_SIGN_IN_PER_MINUTE: '10000' })
})
afterAll(() => app.close())

const address = () => `${crypto.randomUUID()}@platform.example`
const rowOf = async (email: string) => (await app.services.db.select().from(users).where(eq(users.email, email)))[0]

test('an admin makes another one, active and verified, with an initial password, and the act is audited', async () => {
  const email = address()
  const created = await app.admin.call('POST', '/api/v1/admin/users', { email, password: 'Password@123', name: 'Root Two' })
  expect(created).toMatchObject({
    status: 201,
    body: { email, is_active: true, is_admin: true, email_verified: true, client_id: null },
  })
  expect(JSON.stringify(created.body)).not.toContain('password')
  expect(await rowOf(email)).toMatchObject({ passwordIsInitial: true, role: null })
  expect((await app.stranger('POST', '/api/v1/auth/login', { email, password: 'Password@123' })).status).toBe(200)
  expect(await auditedBy(app)).toContainEqual(
    expect.objectContaining({ action: 'create', resource_type: 'admin_user', resource_id: created.body.id, details: { email } }),
  )
  const again = await app.admin.call('POST', '/api/v1/admin/users', { email, password: 'Password@123', name: 'x' })
  expect(again).toMatchObject({ status: 409, body: { detail: 'Email already registered' } })
  expect((await app.admin.call('POST', '/api/v1/admin/users', { email: address(), password: 'x', name: 'x' })).status).toBe(422)
})

test('a registered admin has to confirm the address first', async () => {
  const email = address()
  const created = await app.admin.call('POST', '/api/v1/auth/register-admin', { email, password: 'Password@123', name: 'Root' })
  expect(created).toMatchObject({ status: 201, body: { is_admin: true, is_active: false, email_verified: false } })
  expect((await app.stranger('POST', '/api/v1/auth/login', { email, password: 'Password@123' })).body.detail).toBe('Email not verified')
  expect(await mailsAskedBy(app)).toContainEqual(expect.objectContaining({ template: 'verify-email', user_id: created.body.id }))
})

test('only admins are listed, in pages', async () => {
  const list = await app.admin.call('GET', '/api/v1/admin/users?limit=1000')
  expect(list.status).toBe(200)
  expect(list.body.every(({ is_admin }: { is_admin: boolean }) => is_admin)).toBe(true)
  expect(list.headers.get('x-total-count')).toBe(String(list.body.length))
})

test('JWT-10, defect 41: a deactivated user is out at once, and an admin lets them in again', async () => {
  const person = await app.join(address(), app.ada.clientId, 'member')
  expect((await person.call('POST', '/api/v1/auth/me')).status).toBe(200)
  expect((await app.admin.call('DELETE', `/api/v1/admin/users/${person.userId}`)).status).toBe(204)
  expect((await person.call('POST', '/api/v1/auth/me')).status).toBe(401)
  const login = () => app.stranger('POST', '/api/v1/auth/login', { email: person.email, password: PASSWORD })
  expect(await login()).toMatchObject({ status: 403, body: { detail: 'User account is inactive' } })
  expect(await app.admin.call('POST', `/api/v1/admin/users/${person.userId}/activate`)).toMatchObject({
    status: 200,
    body: { is_active: true },
  })
  expect((await login()).status).toBe(200)
  // The old sign-in stays ended.
  expect((await person.call('POST', '/api/v1/auth/me')).status).toBe(401)
})

test('defect 41: whoever was deactivated before they confirmed their address stays so, whatever they do about it', async () => {
  const email = address()
  const { body } = await app.admin.call('POST', '/api/v1/auth/register-admin', { email, password: 'Password@123', name: 'Mistyped' })
  const [link = ''] = await linksTo(app, body.id, 'verify-email')
  expect((await app.admin.call('DELETE', `/api/v1/admin/users/${body.id}`)).status).toBe(204)
  const verify = (token: string) => app.stranger('POST', '/api/v1/auth/verify-email', { token })
  expect((await verify(link)).body.type).toEndWith('/problems/invalid-one-time-token')
  expect((await app.stranger('POST', '/api/v1/auth/resend-verification', { email })).status).toBe(200)
  expect(await linksTo(app, body.id, 'verify-email')).toEqual([link])
  expect(await rowOf(email)).toMatchObject({ isActive: false, emailVerified: false })
  // Switched on again they are where they were.
  expect((await app.admin.call('POST', `/api/v1/admin/users/${body.id}/activate`)).body).toMatchObject({ email_verified: false })
  expect((await verify(link)).status).toBe(200)
  expect((await app.stranger('POST', '/api/v1/auth/login', { email, password: 'Password@123' })).status).toBe(200)
})

test('JWT-10: whoever is deactivated while they sign in is not signed in', async () => {
  const person = await app.join(address(), app.ada.clientId, 'member')
  const verify = spyOn(app.services.passwords, 'verify').mockImplementationOnce(async () => {
    await app.admin.call('DELETE', `/api/v1/admin/users/${person.userId}`)
    return true
  })
  const late = await app.stranger('POST', '/api/v1/auth/login', { email: person.email, password: PASSWORD })
  verify.mockRestore()
  expect(late).toMatchObject({ status: 403, body: { detail: 'User account is inactive' } })
  const alive = await app.services.db
    .select({ id: authSessions.id })
    .from(authSessions)
    .where(and(eq(authSessions.userId, person.userId), isNull(authSessions.revokedAt)))
  expect(alive).toEqual([])
})

test('JWT-10: an inactive account opens nothing, however it came to be so', async () => {
  const person = await app.join(address(), app.ada.clientId, 'member')
  expect((await person.call('POST', '/api/v1/auth/me')).status).toBe(200)
  await app.services.db.update(users).set({ isActive: false }).where(eq(users.id, person.userId))
  await Bun.sleep(1000)
  expect((await person.call('POST', '/api/v1/auth/me')).status).toBe(401)
})

test('JWT-10: rights are those of now: a role that is lost is lost within a second', async () => {
  const person = await app.join(address(), app.ada.clientId, 'owner')
  expect((await person.call('GET', `/api/v1/clients/${app.ada.clientId}/invitations`)).status).toBe(200)
  await app.ada.call('PUT', `/api/v1/clients/${app.ada.clientId}/members/${person.userId}`, { role: 'viewer' })
  await Bun.sleep(1000)
  expect((await person.call('GET', `/api/v1/clients/${app.ada.clientId}/invitations`)).status).toBe(403)
})

test('nobody switches themselves off', async () => {
  for (const id of [app.admin.userId, app.admin.userId.toUpperCase()])
    expect(await app.admin.call('DELETE', `/api/v1/admin/users/${id}`)).toMatchObject({
      status: 400,
      body: { detail: 'Unable to deactivate your own user' },
    })
  expect((await app.admin.call('DELETE', `/api/v1/admin/users/${crypto.randomUUID()}`)).body.detail).toBe('User not found')
})

test('two admins who switch each other off at once leave one', async () => {
  const [one, two] = [await app.signIn(address()), await app.signIn(address())]
  const replies = await Promise.all([
    one.call('DELETE', `/api/v1/admin/users/${two.userId}`),
    two.call('DELETE', `/api/v1/admin/users/${one.userId}`),
  ])
  expect(replies.filter(({ status }) => status === 204)).toHaveLength(1)
  const active = await Promise.all([one, two].map(async ({ email }) => (await rowOf(email))?.isActive))
  expect(active.filter(Boolean)).toHaveLength(1)
})
