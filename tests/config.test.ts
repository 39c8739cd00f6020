import { expect, test } from 'bun:test'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Value } from '@sinclair/typebox/value'
import 'elysia'
import { ConfigError, listSettings, loadConfig, type Setting } from '~/config'
import { Email } from '~/platform/http/schema'

const ROOT = join(import.meta.dir, '..')
const envExample = readFileSync(join(ROOT, '.env.example'), 'utf8')
const SECRET = 'kR7v0QmX2nTz9LpW4sYc6HdJ8fGb1AeU'
const OTHER_SECRET = 'Zb5uN1xKq8Ew3RtV7mCj0PyL4oSiD6hF'

const PRODUCTION = {
  NODE_ENV: 'production',
  JWT_SECRET_KEY: SECRET,
  ENCRYPTION_KEY: OTHER_SECRET,
  DATABASE_URL: 'postgres://evo:hunter22@db.example.com/evo',
  REDIS_URL: 'redis://:hunter22@cache.example.com',
  SENDGRID_API_KEY: 'SG.key',
}

/** What is said about a bad environment. */
function complaints(env: Record<string, string>): string[] {
  try {
    loadConfig(env)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message.split('; ')
  }
}

test('nothing has to be configured for a first start', () => {
  expect(loadConfig({})).toMatchObject({ production: false, port: 8000, apiUrl: 'http://localhost:8000', email: { provider: 'mailbox' } })
})

test('each setting exists once', () => {
  const names = listSettings().flatMap(({ name, alias }) => [name, ...(alias === undefined ? [] : [alias])])
  expect(names).toEqual([...new Set(names)])
})

test('.env.example shows every setting with its meaning and default, in order, and nothing else', () => {
  const entries = listSettings().map(entryOf)
  for (const entry of entries) expect(envExample).toContain(`\n${entry}\n`)
  const shown = [...envExample.matchAll(/^# ([A-Z][A-Z0-9_]*)=/gm)].map(([, name]) => name)
  expect(shown).toEqual(listSettings().map(({ name }) => name))
  expect([...(envExample.match(/^## .*$/gm) ?? [])]).toEqual([...new Set(listSettings().map(({ group }) => `## ${group}`))])
})

function entryOf({ name, alias, doc, fallback, computed }: Setting) {
  const value = /[\s#"'$]/.test(fallback) ? `"${fallback}"` : fallback
  return `# ${doc}${computed ? ` Default: ${fallback}.` : ''}${alias ? ` Also: ${alias}.` : ''}\n# ${name}=${computed ? '' : value}`
}

test("the README's table shows every setting", () => {
  const readme = existsSync(join(ROOT, 'README.md')) ? readFileSync(join(ROOT, 'README.md'), 'utf8') : ''
  const rows = [...readme.matchAll(/^\| `([A-Z][A-Z0-9_]*)` \|/gm)].map(([, name]) => name)
  if (rows.length > 0)
    expect(rows.toSorted()).toEqual(
      listSettings()
        .map(({ name }) => name)
        .toSorted(),
    )
})

test('every variable of the reference is read, or .env.example says that it has no effect', () => {
  const read = new Set(listSettings().flatMap(({ name, alias }) => [name, alias]))
  const [header = ''] = envExample.split('\n## ')
  const without = header.match(/\b[A-Z]+_[A-Z_]+\b/g) ?? []
  expect(without.toSorted()).toEqual(REFERENCE_VARIABLES.filter((name) => !read.has(name)).toSorted())
})

const REFERENCE_VARIABLES =
  `API_TITLE API_DESCRIPTION API_VERSION API_URL APP_URL ORGANIZATION_NAME ORGANIZATION_URL POSTGRES_CONNECTION_STRING
  AI_ENGINE LOG_LEVEL LOG_DIR REDIS_HOST REDIS_PORT REDIS_DB REDIS_PASSWORD REDIS_SSL REDIS_KEY_PREFIX REDIS_TTL TOOLS_CACHE_TTL
  JWT_SECRET_KEY JWT_ALGORITHM JWT_EXPIRATION_TIME ENCRYPTION_KEY EMAIL_PROVIDER SENDGRID_API_KEY EMAIL_FROM SMTP_HOST SMTP_PORT SMTP_USER
  SMTP_PASSWORD SMTP_USE_TLS SMTP_USE_SSL SMTP_FROM HOST PORT DEBUG CORS_ORIGINS TOKEN_EXPIRY_HOURS PASSWORD_MIN_LENGTH MAX_LOGIN_ATTEMPTS
  LOGIN_LOCKOUT_MINUTES ADMIN_EMAIL ADMIN_INITIAL_PASSWORD DEMO_EMAIL DEMO_PASSWORD DEMO_CLIENT_NAME LANGFUSE_PUBLIC_KEY
  LANGFUSE_SECRET_KEY OTEL_EXPORTER_OTLP_ENDPOINT EVO_AI_API_KEY API_KEY NEXT_PUBLIC_API_URL`.split(/\s+/)

test("a deployment's variables of the reference mean the same here", () => {
  const config = loadConfig({
    POSTGRES_CONNECTION_STRING: 'postgresql://postgres:root@db:5432/evo_ai',
    REDIS_HOST: 'cache',
    REDIS_PORT: '6380',
    REDIS_DB: '3',
    REDIS_PASSWORD: 'p@ss/word',
    REDIS_SSL: 'true',
    REDIS_KEY_PREFIX: 'a2a:',
    LOG_LEVEL: 'INFO',
    DEBUG: 'False',
    CORS_ORIGINS: '*',
    JWT_ALGORITHM: 'HS256',
    JWT_EXPIRATION_TIME: '3600',
    EMAIL_PROVIDER: 'smtp',
    SMTP_HOST: 'mail.example.com',
    SMTP_PORT: '465',
    SMTP_USER: 'me',
    SMTP_PASSWORD: 'p',
    SMTP_USE_TLS: 'false',
    SMTP_USE_SSL: 'true',
    SMTP_FROM: 'evo@example.com',
    DEMO_EMAIL: 'demo@example.com',
    DEMO_PASSWORD: 'demo123',
    DEMO_CLIENT_NAME: 'Demo Client',
    ORGANIZATION_NAME: 'Evo AI',
    AI_ENGINE: 'adk',
  })
  expect(config).toMatchObject({
    database: { url: 'postgresql://postgres:root@db:5432/evo_ai' },
    redis: { url: 'rediss://:p%40ss%2Fword@cache:6380/3', keyPrefix: 'a2a:' },
    logLevel: 'info',
    corsOrigins: ['*'],
    access: { accessTokenSeconds: 3600 },
    email: {
      provider: 'smtp',
      smtp: { host: 'mail.example.com', port: 465, user: 'me', password: 'p', useTls: false, useSsl: true, from: 'evo@example.com' },
    },
    demo: { email: 'demo@example.com', password: 'demo123', clientName: 'Demo Client' },
  })
})

test('DATABASE_URL and REDIS_URL win over the names of the reference, and an empty value counts as absent', () => {
  const reference = { POSTGRES_CONNECTION_STRING: 'postgres://a/old', REDIS_HOST: 'old' }
  expect(loadConfig({ ...reference, DATABASE_URL: 'postgres://b/new', REDIS_URL: 'redis://new' })).toMatchObject({
    database: { url: 'postgres://b/new' },
    redis: { url: 'redis://new' },
  })
  expect(loadConfig({ ...reference, DATABASE_URL: ' ', REDIS_URL: '' })).toMatchObject({
    database: { url: 'postgres://a/old' },
    redis: { url: 'redis://old:6379/0' },
  })
})

test('SendGrid is the provider as soon as it has a key', () => {
  expect(loadConfig({ SENDGRID_API_KEY: 'SG.key' }).email.provider).toBe('sendgrid')
})

test('several hosts, sockets and TLS modes are understood in DATABASE_URL', () => {
  for (const url of [
    'postgres://u:p@one:5432,two:5433/evo?target_session_attrs=read-write',
    'postgresql://u:p@[::1]:5432/evo?sslmode=verify-full',
    'postgres://u:p@%2Frun%2Fpostgresql/evo',
  ])
    expect([url, complaints({ DATABASE_URL: url })]).toEqual([url, []])
})

test.each([
  ['PORT', '80a'],
  ['PORT', '65536'],
  ['EVO_ROLE', 'both'],
  ['DEBUG', 'perhaps'],
  ['API_URL', 'localhost:8000'],
  ['API_URL', 'https://api.example.com/?tenant=1'],
  ['API_URL', 'https://user:password@api.example.com'],
  ['APP_URL', 'https://somebody@app.example.com/home'],
  ['APP_URL', 'https://app.example.com/#/home'],
  ['OPENAI_BASE_URL', 'ftp://x'],
  ['ADMIN_EMAIL', 'nobody'],
  ['EMAIL_FROM', 'Evo <a@b>'],
  ['JWT_ALGORITHM', 'none'],
  ['JWT_EXPIRATION_TIME', '0'],
  ['DATABASE_TLS', 'maybe'],
  ['CORS_ORIGINS', 'app.example.com'],
  ['CORS_ORIGINS', 'https://app.example.com/path'],
  ['CORS_ORIGINS', 'https://ok.example.com,null'],
  ['ALLOWED_HOSTS', 'https://api.example.com'],
  ['ALLOWED_HOSTS', 'api.example.com:8000'],
  ['ALLOWED_HOSTS', 'api.*.com'],
  ['ALLOWED_HOSTS', '::1'],
  ['TRUSTED_PROXIES', 'nginx'],
  ['TRUSTED_PROXIES', '10.0.0.0/33'],
  ['TRUSTED_PROXIES', '10.0.0/8'],
  ['OUTBOUND_ALLOW', 'http://intranet'],
  ['OUTBOUND_ALLOW', '10.0.0.0/40'],
  ['OUTBOUND_ALLOW', 'intranet:99999'],
  ['DATABASE_URL', 'mysql://db/evo'],
  ['DATABASE_URL', 'postgres://db:port/evo'],
  ['DATABASE_URL', 'postgres://db/evo?sslmode=perhaps'],
  ['POSTGRES_CONNECTION_STRING', 'db:5432'],
  ['REDIS_URL', 'http://cache'],
  ['REDIS_URL', 'redis://cache/evo'],
  ['REDIS_HOST', 'not a host'],
])('%s=%s is refused in one line that names it', (name, value) => {
  const [complaint = '', ...more] = complaints({ [name]: value })
  expect(complaint).toStartWith(`${name} `)
  expect(complaint).not.toContain('\n')
  expect(more).toEqual([])
})

test('REDIS_CLUSTER: several URLs name nodes, which have one database', () => {
  const urls = 'redis://:pw@a:7000,redis://:pw@b:7000/0'
  expect(loadConfig({ REDIS_URL: urls, REDIS_CLUSTER: 'true' })).toMatchObject({ redis: { url: urls, cluster: true } })
  expect(loadConfig({ REDIS_URL: 'redis://a' })).toMatchObject({ redis: { cluster: false } })
  expect(complaints({ REDIS_URL: urls })).toEqual([expect.stringContaining('REDIS_URL is not usable')])
  for (const env of [
    { REDIS_URL: 'redis://a/3' },
    { REDIS_URL: 'redis://a,b:7000' },
    { REDIS_URL: 'redis://a,' },
    { REDIS_HOST: 'a', REDIS_DB: '3' },
    {},
  ])
    expect(complaints({ ...env, REDIS_CLUSTER: 'true' })).toHaveLength(1)
})

test('REDIS_SENTINEL_MASTER: several URLs name Sentinels, and the database behind them', () => {
  const urls = 'redis://:pw@a:26379/3, redis://b'
  const env = { REDIS_URL: urls, REDIS_SENTINEL_MASTER: 'main', REDIS_SENTINEL_PASSWORD: 'theirs' }
  expect(loadConfig(env)).toMatchObject({ redis: { url: urls, cluster: false, sentinels: { master: 'main', password: 'theirs' } } })
  expect(loadConfig({ REDIS_URL: 'redis://a' }).redis.sentinels).toBeUndefined()
  for (const wrong of [{ REDIS_URL: 'redis://a,b' }, { REDIS_URL: '' }, { REDIS_URL: 'redis://a', REDIS_CLUSTER: 'true' }])
    expect(complaints({ ...env, ...wrong })).toHaveLength(1)
})

test('well-formed lists are kept as the server compares them', () => {
  const config = loadConfig({
    CORS_ORIGINS: 'https://App.example.com/, http://localhost:3000,https://b.example.com:443',
    ALLOWED_HOSTS: 'API.example.com,*.example.org,[::1],127.0.0.1',
    TRUSTED_PROXIES: '10.0.0.0/8,192.168.1.7,fd00::/8',
    OUTBOUND_ALLOW: 'intranet,intranet:8080,10.0.0.0/8,[fd00::1]:443,127.0.0.1:9000',
  })
  expect(config.corsOrigins).toEqual(['https://app.example.com', 'http://localhost:3000', 'https://b.example.com'])
  expect(config.allowedHosts).toEqual(['api.example.com', '*.example.org', '[::1]', '127.0.0.1'])
  expect(config.trustedProxies).toEqual(['10.0.0.0/8', '192.168.1.7', 'fd00::/8'])
  expect(config.outboundAllow).toHaveLength(5)
})

test('all faults are named at once', () => {
  expect(complaints({ PORT: 'x', EVO_ROLE: 'y', TRUSTED_PROXIES: 'a,b' }).map((line) => line.split(' ')[0])).toEqual([
    'PORT',
    'EVO_ROLE',
    'TRUSTED_PROXIES',
  ])
})

test.each([
  'your-jwt-secret-key',
  'your-jwt-secret-key-your-jwt-secret-key',
  'changeme-changeme-changeme-changeme-0123456789',
  'an-example-value-that-is-long-enough-to-pass',
  '0123456789abcdef0123456789abcdef',
  'x'.repeat(64),
  SECRET.slice(0, 31),
])('the secret %s is refused and not repeated', (value) => {
  for (const name of ['JWT_SECRET_KEY', 'ENCRYPTION_KEY', 'JWT_PREVIOUS_SECRETS']) {
    const [complaint = '', ...more] = complaints({ [name]: value })
    expect(complaint).toStartWith(`${name} must be`)
    expect(complaint).not.toContain(value)
    expect(more).toEqual([])
  }
})

test('a drain that was asked for leaves something of the grace time; the default is cut to what there is', () => {
  for (const drain of ['10', '300'])
    expect(complaints({ SHUTDOWN_GRACE_SECONDS: '10', SHUTDOWN_DRAIN_SECONDS: drain })).toEqual([
      'SHUTDOWN_DRAIN_SECONDS must be less than the 10 of SHUTDOWN_GRACE_SECONDS, of which it is a part',
    ])
  expect(complaints({ SHUTDOWN_GRACE_SECONDS: '10', SHUTDOWN_DRAIN_SECONDS: '9' })).toEqual([])
  expect(complaints({ ...PRODUCTION, SHUTDOWN_GRACE_SECONDS: '2' })).toEqual([])
})

test('the accounts of a start can sign in: what a request could not carry is refused', () => {
  const addresses = ['admin@localhost', 'ädmin@example.com', 'admin@bücher.example', '.a@example.com', 'a@example.com', "O'N+x@a-b.example"]
  for (const email of addresses)
    expect([email, complaints({ ADMIN_EMAIL: email }).length === 0]).toEqual([email, Value.Check(Email, email)])
  expect(complaints({ ADMIN_INITIAL_PASSWORD: 'é'.repeat(128) })).toEqual([])
  expect(complaints({ ADMIN_INITIAL_PASSWORD: 'a'.repeat(129) })).toEqual(['ADMIN_INITIAL_PASSWORD must be at most 128 characters'])
  expect(complaints({ DEMO_PASSWORD: 'a'.repeat(129) })).toEqual(['DEMO_PASSWORD must be at most 128 characters'])
  // Counted as the routes count: four characters, though they are eight to JavaScript.
  expect(complaints({ ADMIN_INITIAL_PASSWORD: '🙂🙃🙂🙃' })).toEqual(['ADMIN_INITIAL_PASSWORD must have at least 8 characters'])
})

test('no complaint holds a secret', () => {
  const secret = 'hunter22'
  const env = {
    DATABASE_URL: `postgres://evo:${secret}@db:port/evo`,
    REDIS_URL: `redis://:${secret}@cache/evo`,
    OPENAI_BASE_URL: `htps://me:${secret}@proxy`,
    ADMIN_INITIAL_PASSWORD: secret.slice(0, 7),
    JWT_SECRET_KEY: secret,
    ENCRYPTION_KEY: `${SECRET},${secret}`,
  }
  expect(complaints(env)).toHaveLength(Object.keys(env).length)
  expect(complaints(env).join('\n')).not.toContain(secret.slice(0, 7))
  expect(complaints(env).join('\n')).not.toContain(SECRET)
})

test('KEY-03, defect 48: in production each requirement that is missing is named', () => {
  expect(loadConfig(PRODUCTION)).toMatchObject({ production: true, drainSeconds: 5, email: { provider: 'sendgrid' } })
  const { NODE_ENV, ...requirements } = PRODUCTION
  const named = { ...Object.fromEntries(Object.keys(requirements).map((name) => [name, name])), SENDGRID_API_KEY: 'EMAIL_PROVIDER' }
  for (const [missing, name] of Object.entries(named)) {
    const [complaint = '', ...more] = complaints({ ...PRODUCTION, [missing]: '' })
    expect(complaint).toStartWith(`${name} `)
    expect(more).toEqual([])
  }
  expect(complaints({ NODE_ENV })).toHaveLength(Object.keys(requirements).length)
})

test('production accepts neither the sample password of the reference nor a provider that it cannot use', () => {
  expect(complaints({ ...PRODUCTION, ADMIN_INITIAL_PASSWORD: 'strongpassword123' })).toEqual(['ADMIN_INITIAL_PASSWORD is the sample value'])
  expect(complaints({ ...PRODUCTION, EMAIL_PROVIDER: 'smtp' })).toEqual(['SMTP_HOST is needed by EMAIL_PROVIDER=smtp'])
  expect(complaints({ ...PRODUCTION, EMAIL_PROVIDER: 'mailbox' })).toEqual(['EMAIL_PROVIDER must be sendgrid or smtp in production'])
})
