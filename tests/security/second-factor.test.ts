import { afterAll, beforeAll, expect, spyOn, test } from 'bun:test'
import { eq, sql } from 'drizzle-orm'
import { Secret, TOTP } from 'otpauth'
import { createSignIn } from '~/features/auth/sign-in'
import { secondFactors } from '~/features/users/table'
import { silentLog } from '~/platform/log'
import { systemOrigin } from '~/platform/principal'
import { createSecrets } from '~/platform/secrets'
import { createServices } from '~/processes/services'
import { resealSecondFactors } from '../../db/reseal-second-factors'
import { auditedBy, mailsAskedBy } from '../support/outbox'
import { PASSWORD, type Person, type Reply, startApp, type TestApp } from '../support/start-app'
import { RULES } from './access-matrix'
import { REQUESTS } from './access-requests'
import { createWorld } from './access-world'
import { outcomeOf, withSurface } from './transport/row'

let app: TestApp
beforeAll(async () => {
  app = await startApp({ TRUSTED_PROXIES: '127.0.0.1' })
})
afterAll(() => app.close())

let people = 0
const newPerson = () => app.signIn(`somebody-${people++}@example.com`, `Clients ${people}`)
const post = (path: string, body: unknown, from = '198.51.100.7') =>
  app.stranger('POST', `/api/v1/auth/${path}`, body, { 'x-forwarded-for': from })
const login = (email: string, from?: string) => post('login', { email, password: PASSWORD }, from)
const secondStep = (mfa_token: string, code: string, from?: string) => post('login/mfa', { mfa_token, code }, from)

/** The codes of a device, one step after the other: each counts once, and one step ahead counts too. */
function deviceOf(secret: string) {
  const totp = new TOTP({ secret: Secret.fromBase32(secret) })
  const now = () => Math.floor(Date.now() / 30_000)
  return { code: (ahead = 0) => totp.generate({ timestamp: (now() + ahead) * 30_000 }) }
}
/** As if a code had not been used for a while. */
const rest = ({ userId }: Person) => app.services.db.update(secondFactors).set({ lastStep: 0 }).where(eq(secondFactors.userId, userId))

async function enrol(person: Person) {
  const { body } = await person.call('POST', '/api/v1/auth/mfa/totp', { current_password: PASSWORD })
  const device = deviceOf(body.secret)
  const confirmed = await person.call('POST', '/api/v1/auth/mfa/totp/confirm', { code: device.code() })
  expect(confirmed.status).toBe(200)
  await rest(person)
  return { secret: body.secret as string, device, recoveryCodes: confirmed.body.recovery_codes as string[] }
}
const tokenOf = async (person: Person): Promise<string> => (await login(person.email)).body.mfa_token
const actionsOn = async ({ userId }: Person) =>
  (await auditedBy(app)).filter(({ resource_id }) => resource_id === userId).map(({ action }) => action)
const mailsTo = async ({ userId }: Person, template: string) =>
  (await mailsAskedBy(app)).filter((mail) => mail.user_id === userId && mail.template === template)
const winners = (replies: Reply[]) => replies.filter(({ status }) => status === 200)

test('a device counts once a code of it was shown, and then the password alone does not let in', async () => {
  const person = await newPerson()
  expect(outcomeOf(await person.call('POST', '/api/v1/auth/mfa/totp', { current_password: 'not it' }))).toBe('400 incorrect-password')
  const begun = await person.call('POST', '/api/v1/auth/mfa/totp', { current_password: PASSWORD })
  expect(new URL(begun.body.otpauth_url).searchParams.get('secret')).toBe(begun.body.secret)
  expect((await login(person.email)).status).toBe(200)
  const device = deviceOf(begun.body.secret)
  expect(outcomeOf(await person.call('POST', '/api/v1/auth/mfa/totp/confirm', { code: device.code(5) }))).toBe('400 incorrect-code')
  expect((await person.call('GET', '/api/v1/auth/mfa')).body).toEqual({ totp: false, recovery_codes_left: 0 })
  const code = device.code()
  const confirmed = await person.call('POST', '/api/v1/auth/mfa/totp/confirm', { code })
  expect(confirmed.body.recovery_codes).toHaveLength(10)
  expect(new Set(confirmed.body.recovery_codes).size).toBe(10)
  expect((await person.call('GET', '/api/v1/auth/mfa')).body).toEqual({ totp: true, recovery_codes_left: 10 })
  expect(await mailsTo(person, 'second-factor-changed')).toHaveLength(1)
  expect(outcomeOf(await person.call('POST', '/api/v1/auth/mfa/totp', { current_password: PASSWORD }))).toBe('409 conflict')

  const half = await login(person.email)
  expect(outcomeOf(half)).toBe('403 second-factor-required')
  expect(half.body.mfa_token).toMatch(/^\w{32}$/)
  expect(JSON.stringify(half.body)).not.toContain('access_token')
  expect(outcomeOf(await post('login', { email: person.email, password: 'not it' }))).toBe('401 invalid-credentials')
  expect(outcomeOf(await app.callWith(half.body.mfa_token)('POST', '/api/v1/auth/me'))).toBe('401 invalid-token')
  // The code of the confirmation was used by it.
  expect(outcomeOf(await secondStep(half.body.mfa_token, code))).toBe('401 invalid-credentials')
  const whole = await secondStep(half.body.mfa_token, device.code(1))
  expect(Object.keys(whole.body).toSorted()).toEqual(['access_token', 'expires_in', 'refresh_token', 'token_type'])
  expect((await app.callWith(whole.body.access_token)('POST', '/api/v1/auth/me')).body.id).toBe(person.userId)
  const entries = (await auditedBy(app)).filter(({ resource_id, action }) => resource_id === person.userId && action === 'login')
  expect(entries.at(-1)?.details).toMatchObject({ second_factor: 'totp' })
})

test('of fifty parallel uses of one code, one token or both, one signs in', async () => {
  const person = await newPerson()
  const { device, recoveryCodes } = await enrol(person)
  const from = (index: number) => `10.9.${index}.1`
  const token = await tokenOf(person)
  const code = device.code()
  expect(winners(await Promise.all(Array.from({ length: 15 }, (_, index) => secondStep(token, code, from(index)))))).toHaveLength(1)
  expect(outcomeOf(await secondStep(token, device.code(1)))).toBe('400 invalid-one-time-token')

  await app.services.db.execute(sql`truncate attempt_counters`)
  const again = await tokenOf(person)
  const [recovery = ''] = recoveryCodes
  expect(winners(await Promise.all(Array.from({ length: 15 }, (_, index) => secondStep(again, recovery, from(index)))))).toHaveLength(1)

  await app.services.db.execute(sql`truncate attempt_counters`)
  const third = await tokenOf(person)
  const replies = await Promise.all(recoveryCodes.slice(1).map((each, index) => secondStep(third, each, from(index))))
  expect(winners(replies)).toHaveLength(1)
})

test('a recovery code stands in once, however it is typed, and new ones take the place of all', async () => {
  const person = await newPerson()
  const { device, recoveryCodes } = await enrol(person)
  const [first = '', second = ''] = recoveryCodes
  expect((await secondStep(await tokenOf(person), first.toUpperCase().replaceAll('-', ' '))).status).toBe(200)
  expect(outcomeOf(await secondStep(await tokenOf(person), first))).toBe('401 invalid-credentials')
  expect((await person.call('GET', '/api/v1/auth/mfa')).body.recovery_codes_left).toBe(9)
  const renewed = await person.call('POST', '/api/v1/auth/mfa/recovery-codes', { current_password: PASSWORD, code: device.code() })
  expect(renewed.body.recovery_codes).toHaveLength(10)
  expect(outcomeOf(await secondStep(await tokenOf(person), second))).toBe('401 invalid-credentials')
  expect((await secondStep(await tokenOf(person), renewed.body.recovery_codes[0])).status).toBe(200)
  expect(await actionsOn(person)).toContain('renew_recovery_codes')
})

test('codes are guessed at under a lock of their own, told by mail once, and ended by an admin', async () => {
  const person = await newPerson()
  const { device } = await enrol(person)
  const token = await tokenOf(person)
  const guesses = await Promise.all(Array.from({ length: 40 }, () => secondStep(token, '000000')))
  expect(
    Object.fromEntries(Object.entries(Object.groupBy(guesses.map(outcomeOf), (outcome) => outcome)).map(([k, v]) => [k, v?.length])),
  ).toEqual({
    '401 invalid-credentials': 5,
    '429 too-many-attempts': 35,
  })
  expect(outcomeOf(await secondStep(token, device.code()))).toBe('429 too-many-attempts')
  // From all networks together no more than twenty.
  const others = await Promise.all(Array.from({ length: 30 }, (_, network) => secondStep(token, '000000', `10.7.${network}.1`)))
  expect(others.filter(({ status }) => status === 401)).toHaveLength(15)
  expect((await mailsTo(person, 'account-locked')).length).toBe(2)
  await app.admin.call('POST', `/api/v1/admin/users/${person.userId}/unlock`)
  expect((await secondStep(token, device.code())).status).toBe(200)
})

test('a token of the second step is for one person, dies after five minutes, and with a switched-off account', async () => {
  const [person, other] = [await newPerson(), await newPerson()]
  const [{ device }, { device: othersDevice }] = [await enrol(person), await enrol(other)]
  expect(outcomeOf(await secondStep(await tokenOf(person), othersDevice.code()))).toBe('401 invalid-credentials')
  const late = await tokenOf(person)
  await app.services.db.execute(sql`update one_time_tokens set expires_at = expires_at - interval '5 minutes'`)
  expect(outcomeOf(await secondStep(late, device.code()))).toBe('400 invalid-one-time-token')
  const token = await tokenOf(person)
  for (const path of ['reset-password', 'verify-email', 'confirm-email-change'])
    expect(outcomeOf(await post(path, { token, ...(path === 'reset-password' && { new_password: 'four unusual words' }) }))).toBe(
      '400 invalid-one-time-token',
    )
  await app.admin.call('DELETE', `/api/v1/admin/users/${person.userId}`)
  expect(outcomeOf(await secondStep(token, device.code()))).toBe('403 account-inactive')
})

test('JWT-10: whoever is deactivated while their code is checked is not signed in', async () => {
  const person = await newPerson()
  await enrol(person)
  const token = await tokenOf(person)
  const { db, signIns, stores, write } = app.services
  const { loginWithCode } = createSignIn({
    db,
    signIns,
    write,
    linkKey: stores.linkKeys[0],
    checkPassword: () => Promise.reject(new Error('not asked for')),
    async checkCode() {
      await app.admin.call('DELETE', `/api/v1/admin/users/${person.userId}`)
      return 'totp'
    },
  })
  const actor = { kind: 'anonymous', origin: systemOrigin } as const
  expect(await loginWithCode(actor, token, '123456').catch(({ problem }) => problem)).toBe('invalid-one-time-token')
  const alive = sql`select id from auth_sessions where user_id = ${person.userId} and revoked_at is null`
  expect([...(await db.execute(alive))]).toEqual([])
})

test('what was used long ago is forgotten: nobody leaves a row behind with each sign-in', async () => {
  const person = await newPerson()
  const { device } = await enrol(person)
  for (let i = 0; i < 3; i++) {
    expect((await secondStep(await tokenOf(person), device.code())).status).toBe(200)
    await rest(person)
    await app.services.db.execute(sql`update one_time_tokens set used_at = used_at - interval '2 days' where user_id = ${person.userId}`)
  }
  await tokenOf(person)
  const rows = await app.services.db.execute(sql`select used_at from one_time_tokens where user_id = ${person.userId}`)
  expect([...rows]).toEqual([{ used_at: null }])
})

test('whoever takes away the device that their organisation asks for has to set up another one from the next request on', async () => {
  const owner = await newPerson()
  const { device } = await enrol(owner)
  const security = `/api/v1/clients/${owner.clientId}/security`
  expect((await owner.call('PUT', security, { require_second_factor: true })).status).toBe(200)
  expect((await owner.call('GET', security)).status).toBe(200)
  const proof = { current_password: PASSWORD, code: device.code() }
  expect((await owner.call('DELETE', '/api/v1/auth/mfa/totp', proof)).status).toBe(204)
  expect(outcomeOf(await owner.call('GET', security))).toBe('403 second-factor-required')
})

test('a device that was never confirmed lets nobody in, not with the token of the one before it either', async () => {
  const person = await newPerson()
  const { device } = await enrol(person)
  const token = await tokenOf(person)
  await app.admin.call('DELETE', `/api/v1/admin/users/${person.userId}/second-factor`)
  expect(outcomeOf(await secondStep(token, device.code()))).toBe('401 invalid-credentials')
  const begun = await person.call('POST', '/api/v1/auth/mfa/totp', { current_password: PASSWORD })
  expect(outcomeOf(await secondStep(token, deviceOf(begun.body.secret).code()))).toBe('401 invalid-credentials')
})

test('a token of the second step dies with the password that it was given for', async () => {
  const person = await newPerson()
  const { device } = await enrol(person)
  const token = await tokenOf(person)
  await person.call('POST', '/api/v1/auth/change-password', { current_password: PASSWORD, new_password: 'four unusual words' })
  expect(outcomeOf(await secondStep(token, device.code()))).toBe('400 invalid-one-time-token')
})

test('a device is taken away with the password and a code, or by an admin where it was lost', async () => {
  const person = await newPerson()
  const { device } = await enrol(person)
  const remove = (current_password: string, code: string) => person.call('DELETE', '/api/v1/auth/mfa/totp', { current_password, code })
  expect(outcomeOf(await remove('not it', device.code()))).toBe('400 incorrect-password')
  expect(outcomeOf(await remove(PASSWORD, '000000'))).toBe('400 incorrect-code')
  expect((await remove(PASSWORD, device.code())).status).toBe(204)
  expect((await person.call('GET', '/api/v1/auth/mfa')).body).toEqual({ totp: false, recovery_codes_left: 0 })
  expect((await login(person.email)).status).toBe(200)
  expect(outcomeOf(await remove(PASSWORD, device.code(1)))).toBe('404 not-found')

  await enrol(person)
  expect((await app.admin.call('DELETE', `/api/v1/admin/users/${person.userId}/second-factor`)).status).toBe(204)
  expect((await login(person.email)).status).toBe(200)
  expect(outcomeOf(await app.admin.call('DELETE', `/api/v1/admin/users/${person.userId}/second-factor`))).toBe('404 not-found')
  expect((await actionsOn(person)).filter((action) => action === 'remove_second_factor')).toHaveLength(2)
  expect(await mailsTo(person, 'second-factor-changed')).toHaveLength(4)
})

test('what is stored opens nothing, and follows the key that encrypts it', async () => {
  const person = await newPerson()
  const { secret, device, recoveryCodes } = await enrol(person)
  const dump = JSON.stringify(
    await app.services.db.execute(sql`select f::text from second_factors f union all select r::text from recovery_codes r`),
  )
  for (const text of [secret, ...recoveryCodes]) expect(dump).not.toContain(text)
  expect(app.logged()).not.toContain(secret)

  const [old = ''] = (app.config.access.encryptionKeys ?? '').split(',')
  const fresh = 'a new key-encryption key of enough bytes!'
  const both = createSecrets({ keyEncryptionKeys: [fresh, old] })
  const { db } = app.services
  const rows = await db.select().from(secondFactors)
  expect(await resealSecondFactors({ db, secrets: both })).toBe(rows.length)
  expect(await resealSecondFactors({ db, secrets: both })).toBe(0)
  const token = await tokenOf(person)
  // This server has only the old key: it says so, and lets nobody in.
  expect(outcomeOf(await secondStep(token, device.code()))).toBe('503 secret-unavailable')
  const backwards = createSecrets({ keyEncryptionKeys: [old, fresh] })
  await resealSecondFactors({ db, secrets: backwards })
  expect((await secondStep(token, device.code())).status).toBe(200)
  const [row] = await db.select().from(secondFactors).where(eq(secondFactors.userId, person.userId))
  expect(() => backwards.platform.open(`second_factors:${app.ada.userId}`, row?.sealedSecret ?? '')).toThrow('cannot be decrypted')
})

const OPEN_BEFORE = new Set([
  'POST /api/v1/auth/me',
  'POST /api/v1/auth/logout',
  'GET /api/v1/auth/sessions',
  'GET /api/v1/auth/mfa',
  'POST /api/v1/auth/mfa/totp',
  'POST /api/v1/auth/mfa/totp/confirm',
])

test('whose organisation asks for a second factor can do nothing else before there is one', async () => {
  const world = await createWorld(app)
  const owner = await newPerson()
  const path = `/api/v1/clients/${owner.clientId}/security`
  expect((await owner.call('GET', path)).body).toEqual({ require_second_factor: false })
  expect(await owner.call('PUT', path, { require_second_factor: true })).toMatchObject({
    status: 200,
    body: { require_second_factor: true },
  })
  expect(await auditedBy(app)).toContainEqual(expect.objectContaining({ action: 'update_security', resource_id: owner.clientId }))
  const { body } = await login(owner.email)
  const headers = { authorization: `Bearer ${body.access_token}` }
  const closed: string[] = []
  for (const [route, { who }] of Object.entries(RULES)) {
    if (who === 'anybody' || OPEN_BEFORE.has(route)) continue
    const request = await REQUESTS[route]?.(world, 'own')
    const [method = ''] = route.split(' ')
    const path = `${await world.pathOf(route, 'own')}${request?.query ?? ''}`
    const reply = await app.stranger(method, path, request?.body, { ...request?.headers, ...headers })
    if (outcomeOf(reply) !== '403 second-factor-required') closed.push(`${route} ${outcomeOf(reply)}`)
  }
  expect(closed).toEqual([])

  const restricted = { ...owner, call: app.callWith(body.access_token) }
  expect((await restricted.call('POST', '/api/v1/auth/me')).body.id).toBe(owner.userId)
  await enrol(restricted)
  expect((await restricted.call('GET', path)).body).toEqual({ require_second_factor: true })
}, 30_000)

test('admins have to have one where the operator asks for it', async () => {
  const access = { ...app.config.access, adminsNeedSecondFactor: true }
  const services = createServices({ ...app.config, access }, { log: silentLog, owner: 'strict', recoverEveryMs: 1000 })
  await withSurface(app, { services }, async ({ url }) => {
    const admin = { authorization: `Bearer ${app.admin.token}` }
    const answer = async (path: string, headers: Record<string, string>) => {
      const response = await fetch(`${url}/api/v1${path}`, { headers })
      return outcomeOf({ status: response.status, headers: response.headers, body: await response.json() })
    }
    expect(await answer('/admin/users', admin)).toBe('403 second-factor-required')
    expect(await answer('/clients/', { authorization: `Bearer ${app.ada.token}` })).toBe('200 body')
    await enrol(app.admin)
    expect(await answer('/admin/users', admin)).toBe('200 body')
  }).finally(() => services.close())
})

test('a wrong password is told before anything of a second factor', async () => {
  const [plain, protectedPerson] = [await newPerson(), await newPerson()]
  await enrol(protectedPerson)
  const checks = spyOn(app.services.passwords, 'verify')
  const bodies = []
  for (const { email } of [plain, protectedPerson]) {
    const reply = await post('login', { email, password: 'not it' }, '203.0.113.50')
    bodies.push({ ...reply.body, trace_id: '' })
  }
  expect(bodies[0]).toEqual(bodies[1])
  expect(checks).toHaveBeenCalledTimes(2)
  checks.mockRestore()
})
