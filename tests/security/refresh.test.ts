import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { auditedBy, mailsAskedBy } from '../support/outbox'
import { PASSWORD, type Person, startApp, type TestApp } from '../support/start-app'
import { outcomeOf } from './transport/row'

let app: TestApp
let person: Person
beforeAll(async () => {
  app = await startApp({ TRUSTED_PROXIES: '127.0.0.1' })
  person = await app.signIn('refresher@example.com', 'Refreshers')
})
afterAll(() => app.close())

interface Pair {
  access_token: string
  refresh_token: string
  expires_in: number
}

const signIn = async (): Promise<Pair> =>
  (await app.stranger('POST', '/api/v1/auth/login', { email: person.email, password: PASSWORD })).body
const refresh = (refresh_token: string) => app.stranger('POST', '/api/v1/auth/refresh', { refresh_token })
const me = async (token: string) => (await app.callWith(token)('POST', '/api/v1/auth/me')).status
const sessionOf = ({ access_token }: Pair): string => JSON.parse(Buffer.from(access_token.split('.')[1] ?? '', 'base64url').toString()).sid
/** As if the sign-in had been refreshed so long ago. */
const age = (pair: Pair, seconds: number) =>
  app.services.db.execute(
    sql`update auth_sessions set refreshed_at = now() - ${seconds} * interval '1 second' where id = ${sessionOf(pair)}::uuid`,
  )
const REFUSED = '401 invalid-token'

test('a sign-in has a refresh token, and a refresh gives a new pair of the same sign-in', async () => {
  const first = await signIn()
  expect(Object.keys(first).toSorted()).toEqual(['access_token', 'expires_in', 'refresh_token', 'token_type'])
  expect(first.expires_in).toBe(app.config.access.accessTokenSeconds)
  const { status, body: second } = await refresh(first.refresh_token)
  expect(status).toBe(200)
  expect(second.refresh_token).not.toBe(first.refresh_token)
  expect(second.access_token).not.toBe(first.access_token)
  expect(sessionOf(second)).toBe(sessionOf(first))
  expect([await me(first.access_token), await me(second.access_token)]).toEqual([200, 200])
})

test('JWT-15: fifty parallel uses of one refresh token give one new generation', async () => {
  const pair = await signIn()
  const replies = await Promise.all(Array.from({ length: 50 }, () => refresh(pair.refresh_token)))
  expect(replies.map(({ status }) => status)).toEqual(Array(50).fill(200))
  expect(new Set(replies.map(({ body }) => body.refresh_token)).size).toBe(1)
  const rows = await app.services.db.execute<{ generation: number }>(
    sql`select refresh_generation as generation from auth_sessions where id = ${sessionOf(pair)}::uuid`,
  )
  expect(rows).toMatchObject([{ generation: 1 }])
  expect((await refresh(replies[0]?.body.refresh_token)).status).toBe(200)
})

test('JWT-15: a token that is used again after the overlap ends the sign-in for both, at once, and is audited', async () => {
  const stolen = await signIn()
  const { body: owner } = await refresh(stolen.refresh_token)
  expect((await refresh(stolen.refresh_token)).body.refresh_token).toBe(owner.refresh_token)
  await age(owner, app.config.access.refreshOverlapSeconds + 1)
  // The second answer comes from what is remembered of the account.
  expect([await me(owner.access_token), await me(owner.access_token)]).toEqual([200, 200])
  expect(outcomeOf(await refresh(stolen.refresh_token))).toBe(REFUSED)
  expect(await me(owner.access_token)).toBe(401)
  expect(await me(stolen.access_token)).toBe(401)
  expect(outcomeOf(await refresh(owner.refresh_token))).toBe(REFUSED)
  const entries = (await auditedBy(app)).filter(({ action }) => action === 'refresh_reuse')
  expect(entries).toMatchObject([{ user_id: person.userId, client_id: person.clientId, details: { session_id: sessionOf(owner) } }])
})

test('JWT-15: a token that is two generations old ends the sign-in also within the overlap', async () => {
  const oldest = await signIn()
  const { body: second } = await refresh(oldest.refresh_token)
  const { body: third } = await refresh(second.refresh_token)
  expect(outcomeOf(await refresh(oldest.refresh_token))).toBe(REFUSED)
  expect(outcomeOf(await refresh(third.refresh_token))).toBe(REFUSED)
})

test('what is no refresh token is refused, and ends nobody’s sign-in', async () => {
  const pair = await signIn()
  const { body: used } = await refresh(pair.refresh_token)
  const bytes = Buffer.from(pair.refresh_token.slice(7), 'base64url')
  const altered = (index: number) => {
    const copy = Buffer.from(bytes)
    copy[index] = (copy[index] ?? 0) ^ 1
    return `evo_rt_${copy.toString('base64url')}`
  }
  const inventions = {
    nonsense: 'nonsense',
    'an access token': pair.access_token,
    padded: `${used.refresh_token}=`,
    'another secret': altered(30),
    'another seal': altered(bytes.length - 1),
    'another sign-in': altered(3),
    'a later generation': altered(16),
  }
  for (const [label, token] of Object.entries(inventions)) expect([label, outcomeOf(await refresh(token))]).toEqual([label, REFUSED])
  expect(await me(used.access_token)).toBe(200)
  expect((await refresh(used.refresh_token)).status).toBe(200)
  for (const body of [{}, { refresh_token: '' }, { refresh_token: 'x'.repeat(4097) }, { refresh_token: 7 }])
    expect((await app.stranger('POST', '/api/v1/auth/refresh', body)).status).toBe(422)
})

test('JWT-05: a refresh token is no access token', async () => {
  expect(await me((await signIn()).refresh_token)).toBe(401)
})

test('a sign-in that was not refreshed for too long, or is too old, is over, for its access token too', async () => {
  const { refreshIdleHours } = app.config.access
  const idle = await signIn()
  await age(idle, refreshIdleHours * 3600 + 1)
  expect(outcomeOf(await refresh(idle.refresh_token))).toBe(REFUSED)
  const old = await signIn()
  await app.services.db.execute(sql`update auth_sessions set expires_at = now() where id = ${sessionOf(old)}::uuid`)
  expect(outcomeOf(await refresh(old.refresh_token))).toBe(REFUSED)
  expect(await me(old.access_token)).toBe(401)
})

test('JWT-10: a user who is switched off refreshes nothing', async () => {
  const other = await app.signIn('leaver@example.com', 'Leavers')
  const { body: pair } = await app.stranger('POST', '/api/v1/auth/login', { email: other.email, password: PASSWORD })
  expect((await app.admin.call('DELETE', `/api/v1/admin/users/${other.userId}`)).status).toBe(204)
  expect(outcomeOf(await refresh(pair.refresh_token))).toBe(REFUSED)
  expect(await me(pair.access_token)).toBe(401)
  // By the account alone, should a sign-in have been left over.
  await app.services.db.execute(sql`update auth_sessions set revoked_at = null where id = ${sessionOf(pair)}::uuid`)
  expect(outcomeOf(await refresh(pair.refresh_token))).toBe(REFUSED)
})

test('a sign-in from another address with another program is told by mail, one with either of them known is not', async () => {
  const { email, userId } = await app.signIn('traveller@example.com', 'Travellers')
  const mails = async () =>
    (await mailsAskedBy(app)).filter(({ user_id, template }) => user_id === userId && template === 'new-sign-in').length
  const from = (address: string, agent: string) =>
    app.stranger('POST', '/api/v1/auth/login', { email, password: PASSWORD }, { 'x-forwarded-for': address, 'user-agent': agent })
  const seen: number[] = [await mails()]
  for (const [address, agent] of [
    ['127.0.0.1', 'Phone/1'],
    ['192.0.2.1', 'Phone/1'],
    ['192.0.2.2', 'Tablet/2'],
    ['192.0.2.2', 'Tablet/3'],
  ] as const) {
    expect((await from(address, agent)).status).toBe(200)
    seen.push(await mails())
  }
  expect(seen).toEqual([0, 0, 0, 1, 1])
})

test('what an admin does as the user is no sign-in of the user: neither listed nor ended by them', async () => {
  const { body } = await app.admin.call('POST', `/api/v1/clients/${person.clientId}/impersonate`)
  const id = sessionOf(body)
  const pair = await signIn()
  const own = app.callWith(pair.access_token)
  const listed = (await own('GET', '/api/v1/auth/sessions')).body.map((session: { id: string }) => session.id)
  expect([listed.includes(sessionOf(pair)), listed.includes(id)]).toEqual([true, false])
  expect((await own('DELETE', `/api/v1/auth/sessions/${id}`)).status).toBe(404)
  expect(await me(body.access_token)).toBe(200)
  // The admin may end it like a sign-in of their own.
  expect((await app.callWith(body.access_token)('POST', '/api/v1/auth/logout')).status).toBe(204)
  expect(await me(body.access_token)).toBe(401)
})

test('the user sees where they are signed in, and ends one of them or all', async () => {
  const someone = await app.signIn('many@example.com', 'Many')
  const login = async (agent: string) =>
    (await app.stranger('POST', '/api/v1/auth/login', { email: someone.email, password: PASSWORD }, { 'user-agent': agent })).body as Pair
  const [phone, tablet] = [await login('Phone/1'), await login('Tablet/2')]
  const list = async (token: string) => (await app.callWith(token)('GET', '/api/v1/auth/sessions')).body
  expect(await list(phone.access_token)).toMatchObject([
    { user_agent: 'Tablet/2', is_current: false, address: '127.0.0.1' },
    { user_agent: 'Phone/1', is_current: true },
    { is_current: false },
  ])
  const counted = await app.callWith(phone.access_token)('GET', '/api/v1/auth/sessions?limit=1&skip=1')
  expect([counted.body.length, counted.headers.get('x-total-count')]).toEqual([1, '3'])
  const end = (token: string, id: string) => app.callWith(token)('DELETE', `/api/v1/auth/sessions/${id}`)
  expect((await app.ada.call('DELETE', `/api/v1/auth/sessions/${sessionOf(tablet)}`)).status).toBe(404)
  expect((await end(phone.access_token, sessionOf(tablet))).status).toBe(204)
  expect(await me(tablet.access_token)).toBe(401)
  expect(outcomeOf(await refresh(tablet.refresh_token))).toBe(REFUSED)
  expect((await end(phone.access_token, sessionOf(tablet))).status).toBe(404)
  expect((await list(phone.access_token)).length).toBe(2)
  expect((await app.callWith(phone.access_token)('POST', '/api/v1/auth/logout-all')).status).toBe(204)
  expect([await me(phone.access_token), await me(someone.token)]).toEqual([401, 401])
  expect((await auditedBy(app)).filter(({ user_id }) => user_id === someone.userId).map(({ action }) => action)).toEqual([
    'login',
    'login',
    'login',
    'end_session',
    'denied', // the second try to end the same one
    'logout_all',
  ])
})

test('JWT-11: after a logout neither token works', async () => {
  const pair = await signIn()
  expect((await app.callWith(pair.access_token)('POST', '/api/v1/auth/logout')).status).toBe(204)
  expect(await me(pair.access_token)).toBe(401)
  expect(outcomeOf(await refresh(pair.refresh_token))).toBe(REFUSED)
})

test('a user keeps a hundred sign-ins at most, the newest', async () => {
  const someone = await app.signIn('hoarder@example.com', 'Hoarders')
  await app.services.db.execute(
    sql`insert into auth_sessions (id, user_id, address, created_at, expires_at, revoked_at)
      select gen_random_uuid(), ${someone.userId}::uuid, '-', now() - n * interval '1 minute', now() + interval '1 day',
        case when n > 140 then now() - interval '2 days' end from generate_series(1, 150) n`,
  )
  await app.stranger('POST', '/api/v1/auth/login', { email: someone.email, password: PASSWORD })
  const rows = await app.services.db.execute<{ alive: number; total: number }>(
    sql`select count(*)::int as total, count(*) filter (where revoked_at is null)::int as alive from auth_sessions where user_id = ${someone.userId}::uuid`,
  )
  expect(rows).toMatchObject([{ alive: 100, total: 142 }])
})

test('no token is stored or logged in clear', async () => {
  const pair = await signIn()
  const { body } = await refresh(pair.refresh_token)
  const stored = JSON.stringify(await app.services.db.execute(sql`select s::text, encode(refresh_hash, 'escape') from auth_sessions s`))
  for (const token of [pair.refresh_token, body.refresh_token, pair.access_token]) {
    expect(stored).not.toContain(token.slice(8, 40))
    expect(app.logged()).not.toContain(token.slice(-30))
  }
})
