import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type SQL, sql } from 'drizzle-orm'
import { auditedBy } from '../support/outbox'
import { PASSWORD, startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp({ RATE_SIGN_IN_PER_MINUTE: '10000', JWT_EXPIRATION_TIME: '7200' })
})
afterAll(() => app.close())

const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
const impersonate = async (clientId = app.ada.clientId, body?: object) => {
  const reply = await app.admin.call('POST', `/api/v1/clients/${clientId}/impersonate`, body)
  return { ...reply, call: app.callWith(String(reply.body.access_token)) }
}
const latest = async () => (await app.admin.call('GET', '/api/v1/admin/impersonations?limit=1')).body[0]

test('an admin acts as the first owner of a client, with a short token that names the admin', async () => {
  await app.join('second@example.com', app.ada.clientId, 'owner')
  const { status, body, call } = await impersonate()
  expect(status).toBe(200)
  // No refresh token: it ends with the access token.
  expect(Object.keys(body).toSorted()).toEqual(['access_token', 'expires_in', 'token_type'])
  const claims = claimsOf(body.access_token)
  expect(claims).toMatchObject({ sub: app.ada.userId, is_admin: false, client_id: app.ada.clientId, act: { sub: app.admin.userId } })
  expect(claims.exp - claims.iat).toBe(body.expires_in)
  expect(body.expires_in).toBeLessThanOrEqual(1800)
  expect((await call('POST', '/api/v1/auth/me')).body.id).toBe(app.ada.userId)
})

test('JWT-16, defect 42: it opens nothing of the platform, impersonates nobody, and every act carries both names', async () => {
  const { call } = await impersonate()
  expect((await call('GET', '/api/v1/admin/audit-logs')).status).toBe(403)
  expect((await call('GET', '/api/v1/admin/impersonations')).status).toBe(403)
  expect((await call('POST', `/api/v1/clients/${app.ada.clientId}/impersonate`)).status).toBe(403)
  expect((await call('POST', `/api/v1/clients/${app.bob.clientId}/impersonate`)).status).toBe(403)
  const created = await call('POST', '/api/v1/agents/', {
    client_id: app.ada.clientId,
    name: 'a',
    type: 'llm',
    model: 'demo/echo',
    config: {},
  })
  expect(created.status).toBe(201)
  expect((await auditedBy(app)).find(({ resource_id }) => resource_id === created.body.id)).toMatchObject({
    user_id: app.ada.userId,
    actor_user_id: app.admin.userId,
    client_id: app.ada.clientId,
  })
})

test('JWT-16: what the admin only looks at as somebody else is audited too, and the own account stays closed', async () => {
  const { call } = await impersonate()
  await call('GET', `/api/v1/clients/${app.ada.clientId}`)
  await app.ada.call('GET', `/api/v1/clients/${app.ada.clientId}`)
  const views = (await auditedBy(app)).filter(({ action }) => action === 'view')
  expect(views).toMatchObject([
    { user_id: app.ada.userId, actor_user_id: app.admin.userId, resource_type: 'client', resource_id: app.ada.clientId },
  ])
  const change = { current_password: PASSWORD, new_password: 'quite another long one' }
  expect((await call('POST', '/api/v1/auth/change-password', change)).status).toBe(403)
})

test('defect 42: its beginning and its end are audited for the platform and for the client', async () => {
  const { call } = await impersonate(app.ada.clientId, { reason: 'ticket 42' })
  const { id } = await latest()
  await app.admin.call('DELETE', `/api/v1/admin/impersonations/${id}`)
  const entries = (await auditedBy(app)).filter(({ details }) => details?.session_id === id)
  expect(entries.map(({ action, client_id, user_id }) => [action, client_id, user_id])).toEqual([
    ['impersonate', null, app.admin.userId],
    ['impersonate', app.ada.clientId, app.admin.userId],
    ['end_impersonation', null, app.admin.userId],
    ['end_impersonation', app.ada.clientId, app.admin.userId],
  ])
  expect(entries[0]?.details).toMatchObject({ reason: 'ticket 42', user_id: app.ada.userId })
  expect((await call('POST', '/api/v1/auth/me')).status).toBe(401)
})

test('it is listed, and ended at once by any admin, once', async () => {
  const { call } = await impersonate(app.bob.clientId)
  const item = await latest()
  expect(item).toMatchObject({
    client_id: app.bob.clientId,
    user_email: app.bob.email,
    actor_email: app.admin.email,
    is_active: true,
    revoked_at: null,
  })
  expect((await call('POST', '/api/v1/auth/me')).status).toBe(200)
  expect((await app.admin.call('DELETE', `/api/v1/admin/impersonations/${item.id}`)).status).toBe(204)
  expect((await call('POST', '/api/v1/auth/me')).status).toBe(401)
  expect(await latest()).toMatchObject({ id: item.id, is_active: false })
  expect((await app.admin.call('DELETE', `/api/v1/admin/impersonations/${item.id}`)).status).toBe(204)
  expect((await app.admin.call('DELETE', `/api/v1/admin/impersonations/${crypto.randomUUID()}`)).status).toBe(404)
  // The user's own sign-in is none.
  expect((await app.bob.call('POST', '/api/v1/auth/me')).status).toBe(200)
  const own = claimsOf(app.bob.token).sid
  expect((await app.admin.call('DELETE', `/api/v1/admin/impersonations/${own}`)).status).toBe(404)
})

test('JWT-16: it ends with its half hour, whatever its token says', async () => {
  const { body, call } = await impersonate(app.bob.clientId)
  expect(body.expires_in).toBe(1800)
  expect((await call('POST', '/api/v1/auth/me')).status).toBe(200)
  const { sid } = claimsOf(body.access_token)
  await app.services.db.execute(sql`update auth_sessions set expires_at = now() where id = ${sid}::uuid`)
  while ((await call('POST', '/api/v1/auth/me')).status === 200) await Bun.sleep(50)
  expect((await call('POST', '/api/v1/auth/me')).status).toBe(401)
  expect(await latest()).toMatchObject({ id: sid, is_active: false, revoked_at: null })
})

test('an admin who is switched off acts as nobody any more', async () => {
  const other = await app.signIn('third@example.com')
  const { body } = await other.call('POST', `/api/v1/clients/${app.ada.clientId}/impersonate`)
  const call = app.callWith(body.access_token)
  expect((await call('POST', '/api/v1/auth/me')).status).toBe(200)
  await app.admin.call('DELETE', `/api/v1/admin/users/${other.userId}`)
  expect((await call('POST', '/api/v1/auth/me')).status).toBe(401)
})

test('it ends with the sign-ins of the admin', async () => {
  const other = await app.signIn(`${crypto.randomUUID()}@example.com`)
  const { body } = await other.call('POST', `/api/v1/clients/${app.ada.clientId}/impersonate`)
  expect((await app.callWith(body.access_token)('POST', '/api/v1/auth/me')).status).toBe(200)
  await other.call('POST', '/api/v1/auth/change-password', { current_password: PASSWORD, new_password: 'quite another long one' })
  expect((await app.callWith(body.access_token)('POST', '/api/v1/auth/me')).status).toBe(401)
  expect(await latest()).toMatchObject({ actor_user_id: other.userId, is_active: false })
})

test('JWT-16: it is as good as the rights of both: who acts has to be an admin still, and who is acted as none', async () => {
  const change = (id: string, made: SQL) => app.services.db.execute(sql`update users set ${made} where id = ${id}::uuid`)
  for (const [whose, made] of [
    ['admin', sql`is_active = false`],
    ['admin', sql`is_admin = false, role = 'owner', client_id = ${app.bob.clientId}::uuid`],
    ['user', sql`is_active = false`],
    ['user', sql`is_admin = true, role = null, client_id = null`],
  ] as const) {
    const other = await app.signIn(`${crypto.randomUUID()}@example.com`)
    const user = await app.signIn(`${crypto.randomUUID()}@example.com`, 'Short Ltd')
    const { body } = await other.call('POST', `/api/v1/clients/${user.clientId}/impersonate`)
    // The rows alone, as if another version of the server had done it: no sign-in was ended.
    await change((whose === 'admin' ? other : user).userId, made)
    expect((await app.callWith(body.access_token)('POST', '/api/v1/auth/me')).status).toBe(401)
  }
})

test('an admin needs no second factor of the person, also where the organisation asks for one', async () => {
  await app.services.db.execute(sql`update clients set require_second_factor = true where id = ${app.bob.clientId}::uuid`)
  const { call } = await impersonate(app.bob.clientId)
  expect((await call('GET', `/api/v1/clients/${app.bob.clientId}`)).status).toBe(200)
  expect((await app.bob.call('GET', `/api/v1/clients/${app.bob.clientId}`)).status).toBe(403)
})

test('defect 42: nobody acts as a user who could not sign in', async () => {
  const created = await app.admin.call('POST', '/api/v1/clients', { name: 'New', email: 'new@example.com', password: 'Password@123' })
  expect(await impersonate(created.body.id)).toMatchObject({
    status: 404,
    body: { detail: 'User associated with the client not found' },
  })
  expect(await impersonate(crypto.randomUUID())).toMatchObject({ status: 404, body: { detail: 'Client not found' } })
})

test('it is the first who could sign in, owners before others', async () => {
  const clientId = (await app.signIn('first-of-many@example.com', 'Many Ltd')).clientId
  const [viewer, owner] = [
    await app.join('viewer@many.example', clientId, 'viewer'),
    await app.join('owner@many.example', clientId, 'owner'),
  ]
  const actedFor = async () => claimsOf((await impersonate(clientId)).body.access_token).sub
  const change = (set: SQL, email: string) => app.services.db.execute(sql`update users set ${set} where email = ${email}`)
  await change(sql`is_active = false`, 'first-of-many@example.com')
  expect(await actedFor()).toBe(owner.userId)
  await change(sql`email_verified = false`, owner.email)
  expect(await actedFor()).toBe(viewer.userId)
})
