import { afterAll, beforeAll, expect, test } from 'bun:test'
import { eq } from 'drizzle-orm'
import { agents } from '~/features/agents/table'
import { users } from '~/features/users/table'
import { auditedBy, mailsAskedBy } from '../support/outbox'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp({ RATE_SIGN_IN_PER_MINUTE: '10000' })
})
afterAll(() => app.close())

const draft = (more: object = {}) => ({ name: 'Acme', email: `${crypto.randomUUID()}@acme.example`, password: 'Password@123', ...more })

test('defect 75: an admin creates a client with an owner who has an initial password and a mail to confirm the address', async () => {
  const body = draft()
  const created = await app.admin.call('POST', '/api/v1/clients', body)
  expect(created.status).toBe(201)
  expect(Object.keys(created.body).toSorted()).toEqual(['created_at', 'email', 'id', 'name'])
  const [owner] = await app.services.db.select().from(users).where(eq(users.clientId, created.body.id))
  expect(owner).toMatchObject({ email: body.email, role: 'owner', isActive: false, emailVerified: false, passwordIsInitial: true })
  const days = ((owner?.passwordExpiresAt?.getTime() ?? 0) - Date.now()) / 86_400_000
  expect(days).toBeGreaterThan(6.9)
  expect(days).toBeLessThanOrEqual(7)
  expect(await mailsAskedBy(app)).toContainEqual(expect.objectContaining({ template: 'verify-email', user_id: owner?.id }))
  expect(await auditedBy(app)).toContainEqual(
    expect.objectContaining({ action: 'create', resource_type: 'client', resource_id: created.body.id, user_id: app.admin.userId }),
  )
})

test('an initial password dies when its days are over; one that its owner chose does not', async () => {
  const body = draft()
  const { id } = (await app.admin.call('POST', '/api/v1/clients', body)).body
  const set = (change: Partial<typeof users.$inferInsert>) => app.services.db.update(users).set(change).where(eq(users.clientId, id))
  const login = (password: string) => app.stranger('POST', '/api/v1/auth/login', { email: body.email, password })
  await set({ isActive: true, emailVerified: true })
  const { access_token: token } = (await login(body.password)).body
  await set({ passwordExpiresAt: new Date(Date.now() - 1000) })
  const change = { current_password: body.password, new_password: 'four unusual words' }
  expect((await login(body.password)).status).toBe(401)
  expect((await app.callWith(token)('POST', '/api/v1/auth/change-password', change)).status).toBe(400)
  await set({ passwordExpiresAt: new Date(Date.now() + 60_000) })
  expect((await app.callWith(token)('POST', '/api/v1/auth/change-password', change)).status).toBe(200)
  const [owner] = await app.services.db.select().from(users).where(eq(users.clientId, id))
  expect(owner).toMatchObject({ passwordExpiresAt: null, passwordIsInitial: false })
})

test('an Idempotency-Key makes one client of two requests, and no fingerprint holds the password', async () => {
  const body = draft()
  const key = { 'idempotency-key': crypto.randomUUID() }
  const first = await app.admin.call('POST', '/api/v1/clients', body, key)
  expect((await app.admin.call('POST', '/api/v1/clients', { ...body, password: 'another one' }, key)).body).toEqual(first.body)
  expect((await app.admin.call('POST', '/api/v1/clients', { ...body, name: 'Other' }, key)).status).toBe(422)
})

test('a taken address is 409 for an admin, in whatever case, and nothing is left behind', async () => {
  const body = draft()
  await app.admin.call('POST', '/api/v1/clients/', body)
  const before = (await app.admin.call('GET', '/api/v1/clients')).headers.get('x-total-count')
  const again = await app.admin.call('POST', '/api/v1/clients', { ...body, email: body.email.toUpperCase() })
  expect(again).toMatchObject({ status: 409, body: { detail: 'Email already registered' } })
  // A user's address that no client has: the client that was half made is gone too.
  const member = await app.join(`${crypto.randomUUID()}@ada.example`, app.ada.clientId, 'member')
  expect((await app.admin.call('POST', '/api/v1/clients', draft({ email: member.email }))).status).toBe(409)
  expect((await app.admin.call('GET', '/api/v1/clients')).headers.get('x-total-count')).toBe(before)
})

test('what a client may not be is refused with a pointer', async () => {
  const refused = async (more: object) => {
    const { status, body } = await app.admin.call('POST', '/api/v1/clients', draft(more))
    return `${status} ${body.errors?.[0]?.pointer}`
  }
  expect(await refused({ password: 'short' })).toBe('422 /password')
  expect(await refused({ password: 'é'.repeat(129) })).toBe('422 /password')
  expect(await refused({ password: '\u{1f600}'.repeat(64) + 'x'.repeat(65) })).toBe('422 /password')
  expect(await refused({ name: '' })).toBe('422 /name')
  expect(await refused({ email: 'nobody' })).toBe('422 /email')
  expect(await refused({ is_admin: true })).toBe('422 /is_admin')
})

test('an admin lists all clients in pages, everybody else their own, in both spellings', async () => {
  const page = await app.admin.call('GET', '/api/v1/clients/?skip=1&limit=1')
  expect(page.status).toBe(200)
  expect(page.body).toHaveLength(1)
  expect(Number(page.headers.get('x-total-count'))).toBeGreaterThanOrEqual(2)
  expect(page.headers.get('link')).toContain('rel="prev"')
  for (const path of ['/api/v1/clients', '/api/v1/clients/']) {
    const own = await app.ada.call('GET', path)
    expect(own.body.map(({ id }: { id: string }) => id)).toEqual([app.ada.clientId])
    expect(own.headers.get('x-total-count')).toBe('1')
  }
  expect((await app.admin.call('GET', '/api/v1/clients/?limit=-1')).status).toBe(422)
})

test('a client is read and changed by its owner and by admins; its sign-ins keep their addresses', async () => {
  const path = `/api/v1/clients/${app.ada.clientId}`
  const email = `${crypto.randomUUID()}@office.example`
  expect((await app.ada.call('GET', path)).body).toMatchObject({ id: app.ada.clientId, name: 'Ada Ltd' })
  expect(await app.ada.call('PUT', path, { name: 'Ada & Co', email })).toMatchObject({ status: 200, body: { name: 'Ada & Co', email } })
  expect((await app.ada.call('POST', '/api/v1/auth/me')).body.email).toBe(app.ada.email)
  expect((await app.ada.call('PUT', path, { name: 'Ada' })).status).toBe(422)
  expect((await app.admin.call('PUT', path, { name: 'Ada', email: app.bob.email })).status).toBe(409)
})

test('another client is 403 for everybody else, whether it exists or not', async () => {
  const comparable = ({ status, body: { trace_id: _, instance: __, ...rest } }: Awaited<ReturnType<typeof app.ada.call>>) => ({
    status,
    ...rest,
  })
  const foreign = await app.bob.call('GET', `/api/v1/clients/${app.ada.clientId}`)
  expect(foreign).toMatchObject({ status: 403, body: { detail: 'Access denied to access resources of this client' } })
  expect(comparable(await app.bob.call('GET', `/api/v1/clients/${crypto.randomUUID()}`))).toEqual(comparable(foreign))
  expect((await app.admin.call('GET', `/api/v1/clients/${crypto.randomUUID()}`)).body.detail).toBe('Client not found')
})

test('a client is deleted by an admin alone, with its people, agents and sign-ins', async () => {
  const gone = await app.signIn(`${crypto.randomUUID()}@gone.example`, 'Gone Ltd')
  const agent = await gone.call('POST', '/api/v1/agents/', {
    client_id: gone.clientId,
    name: 'a',
    type: 'llm',
    model: 'demo/echo',
    config: {},
  })
  expect(agent.status).toBe(201)
  expect((await gone.call('DELETE', `/api/v1/clients/${gone.clientId}`)).status).toBe(403)
  expect((await app.admin.call('DELETE', `/api/v1/clients/${gone.clientId}`)).status).toBe(204)
  expect(await gone.call('POST', '/api/v1/auth/me')).toMatchObject({ status: 401 })
  expect(await app.services.db.select().from(agents).where(eq(agents.clientId, gone.clientId))).toEqual([])
  expect((await app.admin.call('DELETE', `/api/v1/clients/${gone.clientId}`)).body.detail).toBe('Client not found')
})

test('ACL-02: what a caller was refused is audited, a foreign id like an unknown one', async () => {
  const agent = await app.ada.call('POST', '/api/v1/agents/', {
    client_id: app.ada.clientId,
    name: 'a',
    type: 'llm',
    model: 'demo/echo',
    config: {},
  })
  const unknown = crypto.randomUUID()
  await app.bob.call('GET', `/api/v1/agents/${agent.body.id}`)
  await app.bob.call('DELETE', `/api/v1/agents/${unknown}`)
  await app.bob.call('GET', '/api/v1/admin/audit-logs')
  const denied = (await auditedBy(app)).filter(({ action, user_id }) => action === 'denied' && user_id === app.bob.userId).slice(-3)
  expect(denied).toMatchObject([
    { client_id: app.bob.clientId, resource_type: 'agent', resource_id: agent.body.id, details: { method: 'GET', problem: 'not-found' } },
    { client_id: app.bob.clientId, resource_type: 'agent', resource_id: unknown, details: { method: 'DELETE', problem: 'not-found' } },
    { client_id: app.bob.clientId, resource_type: 'audit-logs', resource_id: null, details: { problem: 'forbidden' } },
  ])
})
