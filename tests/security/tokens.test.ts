import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createHmac, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '~/config'
import { createAuthenticator } from '~/features/auth/authenticator'
import { createMachineKeyring } from '~/features/machine-keys/keyring'
import { silentLog } from '~/platform/log'
import { createTokens } from '~/platform/tokens'
import { startApp, type TestApp } from '../support/start-app'
import { outcomeOf, withSurface } from './transport/row'

let app: TestApp
beforeAll(async () => {
  app = await startApp({ RATE_SIGN_IN_PER_MINUTE: '100000' })
})
afterAll(() => app.close())

const REFUSED = '401 invalid-token, Bearer error="invalid_token"'

async function me(token: string, { path = '/api/v1/auth/me', url = app.url } = {}): Promise<string> {
  const response = await fetch(url + path, { method: 'POST', headers: { authorization: `Bearer ${token}` } })
  const outcome = outcomeOf({ status: response.status, headers: response.headers, body: await response.text() })
  return response.status === 200 ? '200' : `${outcome}, ${response.headers.get('www-authenticate')}`
}

const encode = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const decode = (part = '') => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>

/** Ada's token as it is, or with other things in it; always signed with the server's own secret, so that nothing but the change is at fault. */
function forge({ header = {}, claims = {}, digest = 'sha256', secret = app.config.access.jwtSecret ?? '' }: Forgery = {}): string {
  const [itsHeader, itsClaims] = app.ada.token.split('.').map((part, index) => (index < 2 ? decode(part) : {}))
  const signed = `${encode({ ...itsHeader, ...header })}.${encode({ ...itsClaims, ...claims })}`
  return `${signed}.${createHmac(digest, secret).update(signed).digest('base64url')}`
}
interface Forgery {
  header?: Record<string, unknown>
  claims?: Record<string, unknown>
  digest?: string
  secret?: string
}

async function expectAllRefused(tokens: Record<string, string>) {
  const results: Record<string, string> = {}
  for (const [label, token] of Object.entries(tokens)) results[label] = await me(token)
  expect(results).toEqual(Object.fromEntries(Object.keys(tokens).map((label) => [label, REFUSED])))
}

test('a forged token with nothing changed is accepted: the forger does it right', async () => {
  expect(await me(forge())).toBe('200')
})

test('JWT-01: no algorithm, no signature and missing parts are refused', async () => {
  const unsigned = (alg: unknown) => `${forge({ header: { alg } }).split('.').slice(0, 2).join('.')}.`
  const [header, claims, signature] = app.ada.token.split('.')
  await expectAllRefused({
    none: unsigned('none'),
    None: unsigned('None'),
    nOnE: unsigned('nOnE'),
    'none, signed': forge({ header: { alg: 'none' } }),
    'none, with something for a signature': `${unsigned('none')}AAAA`,
    'no algorithm': forge({ header: { alg: undefined } }),
    'a list of algorithms': forge({ header: { alg: ['HS256'] } }),
    'lower case': forge({ header: { alg: 'hs256' } }),
    'empty signature': `${header}.${claims}.`,
    'another signature': `${header}.${claims}.${encode(randomBytes(32).toString('hex')).slice(0, 43)}`,
    'half a signature': `${header}.${claims}.${signature?.slice(0, 20)}`,
    'no signature': `${header}.${claims}`,
    'no claims': `${header}..${signature}`,
    'no header': `.${claims}.${signature}`,
    'four parts': `${app.ada.token}.x`,
    dots: '..',
    'no JSON': `${encode('{')}.${claims}.${signature}`,
    'a list for a header': `${encode([])}.${claims}.${signature}`,
    'too long': `${header}.${claims}.${'A'.repeat(8000)}`,
  })
})

test('JWT-02: another HMAC with the right secret is refused', async () => {
  await expectAllRefused({
    HS384: forge({ header: { alg: 'HS384' }, digest: 'sha384' }),
    HS512: forge({ header: { alg: 'HS512' }, digest: 'sha512' }),
    'HS512 that says HS256': forge({ digest: 'sha512' }),
    RS256: forge({ header: { alg: 'RS256' } }),
    'the right algorithm with another secret': forge({ secret: 'x'.repeat(32) }),
    'the right algorithm with an empty secret': forge({ secret: '' }),
  })
})

test('JWT-03: a token that was good, and is remembered, is refused once it has expired', async () => {
  const now = Math.floor(Date.now() / 1000)
  const token = forge({ claims: { iat: now - 100, exp: now + 2 } })
  expect([await me(token), await me(token)]).toEqual(['200', '200'])
  await Bun.sleep((now + 2) * 1000 - Date.now() + 50)
  expect(await me(token)).toBe(REFUSED)
})

test('JWT-03: a token that does not expire, or not in time, is refused', async () => {
  const now = Math.floor(Date.now() / 1000)
  const life = app.config.access.accessTokenSeconds
  await expectAllRefused({
    'no exp': forge({ claims: { exp: undefined } }),
    'exp as text': forge({ claims: { exp: String(now + 60) } }),
    'exp for ever': forge({ claims: { exp: 1e308 } }),
    'exp null': forge({ claims: { exp: null } }),
    'exp with a fraction': forge({ claims: { exp: now + 60.5 } }),
    expired: forge({ claims: { iat: now - 100, exp: now - 1 } }),
    'longer than the longest life': forge({ claims: { iat: now, exp: now + life + 1 } }),
    'no iat': forge({ claims: { iat: undefined } }),
    'iat as text': forge({ claims: { iat: String(now) } }),
    'issued in the future': forge({ claims: { iat: now + 120, exp: now + 180 } }),
    'not yet valid': forge({ claims: { nbf: now + 120 } }),
  })
})

test('JWT-04: wrong or missing issuer, audience, subject and token id are refused', async () => {
  const tokens: Record<string, string> = {}
  for (const name of ['iss', 'aud', 'sub', 'jti', 'sid']) {
    for (const value of [undefined, null, '', 'somebody else', 1, {}])
      tokens[`${name} ${JSON.stringify(value)}`] = forge({ claims: { [name]: value } })
  }
  await expectAllRefused({
    ...tokens,
    'the id of nobody': forge({ claims: { sub: crypto.randomUUID() } }),
    'somebody else’s id': forge({ claims: { sub: app.bob.userId } }),
    'somebody else’s session': forge({ claims: { sid: crypto.randomUUID() } }),
  })
  expect(await me(forge({ claims: { is_admin: true } }))).toBe('200')
  const asAdmin = await app.stranger('GET', '/api/v1/admin/audit-logs', undefined, {
    authorization: `Bearer ${forge({ claims: { is_admin: true, client_id: null } })}`,
  })
  expect(outcomeOf(asAdmin)).toBe('403 forbidden')
})

test('JWT-05: a token of another kind is no access token', async () => {
  const kinds = ['JWT', 'jwt', 'rt+jwt', 'verify+jwt', 'reset+jwt', '', undefined, null, ['at+jwt']]
  await expectAllRefused(Object.fromEntries(kinds.map((typ) => [String(typ), forge({ header: { typ } })])))
})

test('JWT-06: a token has one spelling, before and after logout', async () => {
  const login = await app.stranger('POST', '/api/v1/auth/login', { email: app.ada.email, password: 'correct horse battery' })
  const token: string = login.body.access_token
  const [header, claims, signature = ''] = token.split('.')
  const last = signature.at(-1) ?? ''
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  // 32 bytes leave two bits of the last character unused.
  const twins = [1, 2, 3].map((bits) => alphabet[alphabet.indexOf(last) ^ bits] ?? '')
  const spellings: Record<string, string> = {
    padded: `${token}=`,
    'padded header': `${header}=.${claims}.${signature}`,
    'a dot more': `${token}.`,
    'percent-encoded': token.replace('.', '%2e'),
    'a null byte spelt': `${token}\\u0000`,
    'a space within': `${header}.${claims} .${signature}`,
    'a space before': ` ${token}`,
    ...Object.fromEntries(twins.map((twin) => [`last character ${twin}`, `${header}.${claims}.${signature.slice(0, -1)}${twin}`])),
  }
  // No header could carry these: asked below HTTP.
  const unsendable = [`${token}\n`, `${header}\n.${claims}.${signature}`, `${token}\u0000`]
  const standard = createStandardBase64(token)
  const tokens = createTokens(tokenOptions())
  const checkAll = async () => {
    await expectAllRefused(spellings)
    for (const spelling of [...unsendable, ...standard])
      await expect(tokens.verify(spelling)).rejects.toMatchObject({ problem: 'invalid-token' })
  }
  expect(await me(token)).toBe('200')
  await checkAll()
  const logout = await app.stranger('POST', '/api/v1/auth/logout', undefined, { authorization: `Bearer ${token}` })
  expect(logout.status).toBe(204)
  expect(await me(token)).toBe(REFUSED)
  await checkAll()
})

const tokenOptions = (secrets = [app.config.access.jwtSecret ?? '']) => ({
  secrets,
  issuer: app.config.access.issuer,
  audience: app.config.access.audience,
  lifetimeSeconds: app.config.access.accessTokenSeconds,
})

/** The token with `+` and `/` for `-` and `_`, where it has one of them. */
const createStandardBase64 = (token: string) => {
  const standard = token.replaceAll('-', '+').replaceAll('_', '/')
  return standard === token ? [] : [standard]
}

test('JWT-07: a header that brings or names a key is refused, and nothing is fetched or read', async () => {
  let asked = 0
  const trap = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch() {
      asked++
      return new Response('{"keys":[]}')
    },
  })
  const url = `http://127.0.0.1:${trap.port}/keys.json`
  const key = { kty: 'oct', k: encode('x'.repeat(32)) }
  const own = 'x'.repeat(32)
  await expectAllRefused({
    jwk: forge({ header: { jwk: key }, secret: own }),
    'jwk, rightly signed': forge({ header: { jwk: key } }),
    jku: forge({ header: { jku: url }, secret: own }),
    'jku, rightly signed': forge({ header: { jku: url } }),
    x5u: forge({ header: { x5u: url } }),
    x5c: forge({ header: { x5c: ['AAAA'] } }),
    crit: forge({ header: { crit: ['exp'] } }),
    'b64 false': forge({ header: { b64: false, crit: ['b64'] } }),
    zip: forge({ header: { zip: 'DEF' } }),
    'a path for a kid': forge({ header: { kid: '../../dev/null' }, secret: '' }),
    'SQL for a kid': forge({ header: { kid: "' or 1=1" } }),
    'a URL for a kid': forge({ header: { kid: url } }),
    'a property of objects for a kid': forge({ header: { kid: 'constructor' } }),
    'an object for a kid': forge({ header: { kid: { toString: 1 } } }),
    'no kid': forge({ header: { kid: undefined } }),
  })
  await trap.stop(true)
  expect(asked).toBe(0)
})

test('JWT-09: two credentials are one too many, and a token in the URL is none', async () => {
  const { token } = app.ada
  const query = `/api/v1/auth/me?access_token=${token}`
  const twice = new Headers({ authorization: `Bearer ${token}` })
  twice.append('authorization', `Bearer ${app.bob.token}`)
  const response = await fetch(`${app.url}/api/v1/auth/me`, { method: 'POST', headers: twice })
  expect(outcomeOf({ status: response.status, headers: response.headers, body: await response.text() })).toBe('400 invalid-request')
  expect(await me(token, { path: query })).toBe('400 invalid-request, Bearer error="invalid_request"')
  const alone = await app.stranger('POST', query)
  expect(`${outcomeOf(alone)}, ${alone.headers.get('www-authenticate')}`).toBe('401 unauthenticated, Bearer')
  expect(app.logged()).not.toContain(token.slice(-20))
  expect(app.logged()).not.toContain('access_token')
})

test('JWT-12: the previous secret verifies until it is taken out, an unknown one never', async () => {
  const [older, newer] = ['o', 'n'].map((letter) => `${letter}Zk3v9q0Yx7Lr2Wn8Tb5Hc1Md6Pf4Gs0Ja`) as [string, string]
  const [userId, sessionId, tokenId] = [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()]
  const subject = { userId, sessionId, tokenId, isAdmin: false, clientId: null }
  const before = createTokens(tokenOptions([older]))
  const rotated = createTokens(tokenOptions([newer, older]))
  const retired = createTokens(tokenOptions([newer]))
  const [old, fresh] = [await before.issue(subject), await rotated.issue(subject)]
  expect(await rotated.verify(old)).toMatchObject({ sub: userId })
  expect(await rotated.verify(fresh)).toMatchObject({ sub: userId })
  expect(await retired.verify(fresh)).toMatchObject({ sub: userId })
  await expect(retired.verify(old)).rejects.toMatchObject({ problem: 'invalid-token' })
  await expect(before.verify(fresh)).rejects.toMatchObject({ problem: 'invalid-token' })
  // The name of one key with the signature of another.
  const [header] = fresh.split('.')
  const [, claims] = old.split('.')
  const mixed = createHmac('sha256', older).update(`${header}.${claims}`).digest('base64url')
  await expect(rotated.verify(`${header}.${claims}.${mixed}`)).rejects.toMatchObject({ problem: 'invalid-token' })
  // The name of a key tells nothing about it.
  expect(JSON.stringify(decode(header))).not.toMatch(new RegExp(newer.slice(0, 6)))
})

test('JWT-13, defect 48: the server does not start on a weak, sample or missing signing secret, and does not repeat it', async () => {
  const stores = {
    DATABASE_URL: 'postgres://a:b@127.0.0.1:1/x',
    REDIS_URL: 'redis://127.0.0.1:1',
    ENCRYPTION_KEY: 'Qw8Er2Ty6Ui0Op4As9Df3Gh7Jk1Lz5Xc0V',
  }
  const weak = [
    'your-jwt-secret-key',
    'short',
    'a'.repeat(64),
    'changeme-changeme-changeme-changeme-1',
    `your-jwt-secret-key-${'x1y2z3'.repeat(4)}`,
  ]
  for (const secret of weak) {
    for (const name of ['JWT_SECRET_KEY', 'JWT_PREVIOUS_SECRETS']) {
      const good = { JWT_SECRET_KEY: 'Zk3v9q0Yx7Lr2Wn8Tb5Hc1Md6Pf4Gs0Ja' }
      const refusal = messageOf(() => loadConfig({ ...stores, ...good, [name]: secret }))
      expect(refusal).toContain(name)
      expect(refusal).not.toContain(secret)
    }
  }
  expect(messageOf(() => loadConfig({ ...stores, NODE_ENV: 'production' }))).toContain('JWT_SECRET_KEY')
  const folder = mkdtempSync(join(tmpdir(), 'evo-weak-'))
  const env = {
    PATH: process.env.PATH ?? '',
    EVO_DATA_DIR: folder,
    EVO_NO_INSTALL: '1',
    PORT: '0',
    ...stores,
    JWT_SECRET_KEY: 'your-jwt-secret-key',
  }
  const server = Bun.spawn([process.execPath, 'src/main.ts'], { env, stdout: 'pipe', stderr: 'pipe' })
  const said = (await new Response(server.stdout).text()) + (await new Response(server.stderr).text())
  expect(await server.exited).toBeGreaterThan(0)
  expect(said).toContain('JWT_SECRET_KEY')
  expect(said).not.toContain('your-jwt-secret-key')
  rmSync(folder, { recursive: true, force: true })
})

function messageOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    return String(error)
  }
  return 'nothing was refused'
}

test('JWT-14, defect 60: a token of one replica is good on another', async () => {
  const { stores, admission } = app.services
  const { db } = stores.database
  // A replica of its own: nothing in its memory, only the same settings.
  const authenticator = createAuthenticator({
    db,
    tokens: createTokens(tokenOptions()),
    admission,
    machineKeys: createMachineKeyring({ db, log: silentLog }),
    log: silentLog,
  })
  await withSurface(app, { services: { authenticator } }, async ({ url }) => {
    expect(await me(app.ada.token, { url })).toBe('200')
    expect(await me(forge({ secret: 'x'.repeat(32) }), { url })).toBe(REFUSED)
  })
})

test('defect 36: a token lives for as many seconds as configured, in every time zone', async () => {
  const { exp, iat } = decode(app.ada.token.split('.')[1]) as { exp: number; iat: number }
  expect(exp - iat).toBe(app.config.access.accessTokenSeconds)
  const before = process.env.TZ
  try {
    for (const zone of ['America/Los_Angeles', 'Asia/Tokyo']) {
      process.env.TZ = zone
      expect([zone, await me(app.ada.token)]).toEqual([zone, '200'])
      expect([zone, await me(forge({ claims: { exp: Math.floor(Date.now() / 1000) - 120 } }))]).toEqual([zone, REFUSED])
    }
  } finally {
    process.env.TZ = before ?? 'UTC'
  }
})

test('defect 37: the token of a deleted account does not open a new one with the same address', async () => {
  const email = 'same@example.com'
  const first = await app.signIn(email, 'First')
  expect((await app.admin.call('DELETE', `/api/v1/clients/${first.clientId}`)).status).toBe(204)
  const second = await app.signIn(email, 'Second')
  expect(await me(second.token)).toBe('200')
  expect(await me(first.token)).toBe(REFUSED)
})
