import { afterAll, beforeAll, expect, test } from 'bun:test'
import { eq, sql } from 'drizzle-orm'
import { deriveToken } from '~/features/auth/one-time-token'
import { composeMail } from '~/features/mail/compose'
import { type MailRequest, parseMailRequest } from '~/features/mail/schema'
import { invitations } from '~/features/members/table'
import { APP_URL, composing } from '../support/mail-settings'
import { linksTo } from '../support/mailed-links'
import { mailsAskedBy } from '../support/outbox'
import { PASSWORD, startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp({ RATE_SIGN_IN_PER_MINUTE: '10000' })
})
afterAll(() => app.close())

const address = () => `${crypto.randomUUID()}@people.example`
const path = (rest: string, clientId = app.ada.clientId) => `/api/v1/clients/${clientId}/${rest}`
const tokenOf = (id: string) => deriveToken(app.services.stores.linkKeys[0], id)
const accept = (id: string, more: object = {}) =>
  app.stranger('POST', '/api/v1/auth/accept-invitation', { token: tokenOf(id), name: 'Sam', password: 'four unusual words here', ...more })
const invite = async (email: string, role = 'member') => (await app.ada.call('POST', path('invitations'), { email, role })).body

test('an owner invites, the invited choose a password and work with the role they were given', async () => {
  const email = address()
  const invitation = await app.ada.call('POST', path('invitations'), { email: email.toUpperCase(), role: 'viewer' })
  expect(invitation).toMatchObject({
    status: 201,
    body: { email, role: 'viewer', client_id: app.ada.clientId, invited_by: app.ada.userId },
  })
  expect(JSON.stringify(invitation.body)).not.toContain(tokenOf(invitation.body.id))
  expect(await mailsAskedBy(app)).toContainEqual({ template: 'invitation', invitation_id: invitation.body.id })
  expect((await app.ada.call('GET', path('invitations'))).body).toEqual([invitation.body])
  const joined = await accept(invitation.body.id)
  expect(joined).toMatchObject({
    status: 201,
    body: { email, name: 'Sam', client_id: app.ada.clientId, is_active: true, email_verified: true },
  })
  expect((await app.ada.call('GET', path('invitations'))).body).toEqual([])

  const login = await app.stranger('POST', '/api/v1/auth/login', { email, password: 'four unusual words here' })
  const call = app.callWith(login.body.access_token)
  expect((await call('GET', '/api/v1/agents/', undefined, { 'x-client-id': app.ada.clientId })).status).toBe(200)
  const refused = await call('POST', '/api/v1/agents/', {
    client_id: app.ada.clientId,
    name: 'a',
    type: 'llm',
    model: 'demo/echo',
    config: {},
  })
  expect(refused).toMatchObject({ status: 403, body: { detail: 'This needs the role member in the client.' } })
  const members = await app.ada.call('GET', path('members'))
  expect(members.body).toContainEqual(expect.objectContaining({ id: joined.body.id, email, role: 'viewer', is_active: true }))
})

test("an invitation's mail goes to the invited with its link; a withdrawn one is not sent", async () => {
  const [kept, withdrawn] = [await invite(address()), await invite(address())]
  await app.ada.call('DELETE', path(`invitations/${withdrawn.id}`))
  const mailOf = (id: string) =>
    composeMail(
      app.services.db,
      { ...composing, invitations: app.services.invitationLinks },
      parseMailRequest({ template: 'invitation', invitation_id: id }) as MailRequest,
      new Map(),
    )
  await app.ada.call('PUT', '/api/v1/auth/locale', { locale: 'pt' })
  expect(await mailOf(kept.id)).toMatchObject({ html: expect.stringContaining('lang="pt') })
  await app.ada.call('PUT', '/api/v1/auth/locale', { locale: 'en' })
  expect(await mailOf(kept.id)).toMatchObject({ html: expect.stringContaining('lang="en') })
  expect(await mailOf(kept.id)).toMatchObject({
    to: kept.email,
    clientId: app.ada.clientId,
    userId: null,
    link: `${APP_URL}/security/accept-invitation?token=${tokenOf(kept.id)}`,
  })
  expect(await mailOf(withdrawn.id)).toMatchObject({ skip: 'the invitation was accepted, withdrawn or has expired' })
})

test("a viewer does not see an agent's key, which would let them chat", async () => {
  const agent = await app.ada.call('POST', '/api/v1/agents/', {
    client_id: app.ada.clientId,
    name: 'a',
    type: 'llm',
    model: 'demo/echo',
    config: {},
  })
  const viewer = await app.join(address(), app.ada.clientId, 'viewer')
  const member = await app.join(address(), app.ada.clientId, 'member')
  const seen = async ({ call }: typeof viewer) => (await call('GET', `/api/v1/agents/${agent.body.id}`)).body.config.api_key
  expect(await seen(viewer)).toBeNull()
  expect(await seen(member)).toBe(agent.body.config.api_key)
  expect((await viewer.call('POST', `/api/v1/chat/${agent.body.id}/s1`, { message: 'hi' })).status).toBe(403)
})

test('50 parallel acceptances of one invitation make one member', async () => {
  const { id } = await invite(address())
  const replies = await Promise.all(Array.from({ length: 50 }, () => accept(id)))
  expect(replies.filter(({ status }) => status === 201)).toHaveLength(1)
  for (const { status, body } of replies)
    if (status !== 201) expect(`${status} ${body.type}`).toMatch(/^(400 .*invalid-one-time-token|503 .*)$/)
})

test('a used, withdrawn, replaced, expired or invented invitation is refused with one answer', async () => {
  const used = await invite(address())
  await accept(used.id)
  const withdrawn = await invite(address())
  expect((await app.ada.call('DELETE', path(`invitations/${withdrawn.id}`))).status).toBe(204)
  const email = address()
  const replaced = await invite(email)
  const current = await invite(email)
  const expired = await invite(address())
  await app.services.db.update(invitations).set({ expiresAt: sql`now()` }).where(eq(invitations.id, expired.id))
  for (const { id } of [used, withdrawn, replaced, expired, { id: 'nothing' }])
    expect(await accept(id)).toMatchObject({ status: 400, body: { detail: 'Invalid invitation token' } })
  expect((await accept(current.id, { password: 'short' })).status).toBe(422)
  expect((await accept(current.id)).status).toBe(201)
  expect((await app.ada.call('DELETE', path(`invitations/${withdrawn.id}`))).status).toBe(404)
})

test('an invitation does not tell whether an address has an account elsewhere; a member of the own client is named', async () => {
  const elsewhere = await app.ada.call('POST', path('invitations'), { email: app.bob.email, role: 'member' })
  expect(elsewhere.status).toBe(201)
  expect(await accept(elsewhere.body.id)).toMatchObject({ status: 409, body: { detail: 'Email already registered' } })
  expect((await app.ada.call('POST', path('invitations'), { email: app.ada.email, role: 'member' })).status).toBe(409)
})

test('members and viewers see who is there, and neither invite nor change anybody', async () => {
  for (const role of ['member', 'viewer'] as const) {
    const person = await app.join(address(), app.ada.clientId, role)
    expect((await person.call('GET', path('members'))).status).toBe(200)
    expect((await person.call('GET', path('invitations'))).status).toBe(403)
    expect((await person.call('POST', path('invitations'), { email: address(), role: 'owner' })).status).toBe(403)
    expect((await person.call('PUT', path(`members/${person.userId}`), { role: 'owner' })).status).toBe(403)
    expect((await person.call('DELETE', path(`members/${app.ada.userId}`))).status).toBe(403)
  }
})

test("a member of another client is absent, in the own client's list too", async () => {
  const comparable = ({ status, body: { trace_id: _, instance: __, ...rest } }: Awaited<ReturnType<typeof app.ada.call>>) => ({
    status,
    ...rest,
  })
  const foreign = await app.ada.call('PUT', path(`members/${app.bob.userId}`), { role: 'viewer' })
  expect(foreign.status).toBe(404)
  expect(comparable(await app.ada.call('PUT', path(`members/${crypto.randomUUID()}`), { role: 'viewer' }))).toEqual(comparable(foreign))
  expect((await app.ada.call('DELETE', path(`members/${app.bob.userId}`))).status).toBe(404)
  expect((await app.ada.call('DELETE', path(`members/${app.admin.userId}`))).status).toBe(404)
})

test('who is removed is refused from the next request on, and has to sign in again once an admin lets them back', async () => {
  const member = await app.join(address(), app.ada.clientId, 'member')
  const look = async () => (await member.call('GET', path('members'))).status
  // By the second answer the account is remembered.
  expect([await look(), await look()]).toEqual([200, 200])
  expect((await app.ada.call('DELETE', path(`members/${member.userId}`))).status).toBe(204)
  expect(await look()).toBe(401)
  const signIn = async () => (await app.stranger('POST', '/api/v1/auth/login', { email: member.email, password: PASSWORD })).status
  expect(await signIn()).toBe(403)
  const invite = async () => (await app.ada.call('POST', path('invitations'), { email: member.email, role: 'member' })).body.detail
  expect(await invite()).toContain('is switched off')
  expect((await app.admin.call('POST', `/api/v1/admin/users/${member.userId}/activate`)).status).toBe(200)
  // What was remembered of the account is forgotten by then: it is the sign-in that has ended.
  await Bun.sleep(1000)
  expect(await look()).toBe(401)
  expect(await signIn()).toBe(200)
  expect(await invite()).toBe('This person is a member already.')
})

test('defect 41: who is removed before they confirmed their address cannot confirm it any more', async () => {
  const made = await app.admin.call('POST', '/api/v1/clients', { name: 'Hasty Ltd', email: address(), password: 'Password@123' })
  const partner = await app.join(address(), made.body.id, 'owner')
  const [owner] = (await partner.call('GET', path('members', made.body.id))).body
  const [link = ''] = await linksTo(app, owner.id, 'verify-email')
  expect((await partner.call('DELETE', path(`members/${owner.id}`, made.body.id))).status).toBe(204)
  expect((await app.stranger('POST', '/api/v1/auth/verify-email', { token: link })).body.type).toEndWith('/invalid-one-time-token')
})

test('the last owner stays an owner, also when two owners remove each other at once', async () => {
  const one = await app.signIn(address(), 'Two Owners')
  const only = path(`members/${one.userId}`, one.clientId)
  expect(await one.call('PUT', only, { role: 'member' })).toMatchObject({ status: 409 })
  expect(await one.call('DELETE', only)).toMatchObject({ status: 409 })
  expect((await app.admin.call('DELETE', only)).status).toBe(409)
  // An owner who was switched off is none to rely on.
  const gone = await app.join(address(), one.clientId, 'owner')
  expect((await one.call('DELETE', path(`members/${gone.userId}`, one.clientId))).status).toBe(204)
  expect((await one.call('PUT', only, { role: 'member' })).status).toBe(409)
  for (let round = 0; round < 5; round++) {
    const two = await app.join(address(), one.clientId, 'owner')
    const three = await app.join(address(), one.clientId, 'owner')
    await one.call('PUT', only, { role: 'viewer' })
    const replies = await Promise.all([
      two.call('PUT', path(`members/${three.userId}`, one.clientId), { role: 'member' }),
      three.call('DELETE', path(`members/${two.userId}`, one.clientId)),
      two.call('DELETE', path(`members/${two.userId}`, one.clientId)),
      three.call('PUT', path(`members/${three.userId}`, one.clientId), { role: 'viewer' }),
    ])
    expect(replies.some(({ status }) => status === 409 || status === 401)).toBe(true)
    const { body } = await app.admin.call('GET', path('members', one.clientId))
    const owners = body.filter((member: { role: string; is_active: boolean }) => member.role === 'owner' && member.is_active)
    expect(owners).toHaveLength(1)
    await app.admin.call('PUT', only, { role: 'owner' })
    for (const { id } of owners) await app.admin.call('PUT', path(`members/${id}`, one.clientId), { role: 'member' })
  }
})
