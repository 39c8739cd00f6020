import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Glob } from 'bun'
import postgres from 'postgres'
import { startServer } from '../start/running-server'
import { services } from '../support/services'

const ADMIN = { email: 'flows@example.com', password: 'a password for the flows' }
const dataDir = mkdtempSync(join(tmpdir(), 'evo-flows-'))
const sql = postgres(services.databaseUrl, { max: 1, prepare: false, onnotice: () => {} })
await sql`truncate clients, users, outbox, deliveries, audit_logs, mcp_servers cascade`
await sql.end()
const server = startServer({
  EVO_DATA_DIR: dataDir,
  DATABASE_URL: services.databaseUrl,
  REDIS_URL: services.redisUrl,
  REDIS_KEY_PREFIX: `flows-${crypto.randomUUID()}:`,
  BCRYPT_COST: '4',
  EMAIL_PROVIDER: 'mailbox',
  ADMIN_EMAIL: ADMIN.email,
  ADMIN_INITIAL_PASSWORD: ADMIN.password,
})
beforeAll(async () => {
  await server.ready()
}, 60_000)
afterAll(async () => {
  server.kill('SIGTERM')
  await server.exited()
  rmSync(dataDir, { recursive: true, force: true })
})

/** What each flow must have printed when it has come to its end. */
const FLOWS: Record<string, (string | RegExp)[]> = {
  'sign-up': ['"is_active":false', 'Email not verified', 'Your account is active', 'invalid-one-time-token', '"token_type":"bearer"'],
  login: ['"email_verified":true', '"token_type":"bearer"', '"user_agent":"curl', /204|200/, /401$/],
  agent: ['"provider":"openai"', '"description":"Answers questions."', '"type":"sequential"', /x-total-count: 2/i],
  chat: ['"response":"Echo: What is new?"', 'event: run-finished', '"response":"Echo: Hello"', '"author":"user"', '"author":"guide"'],
  mcp: ['"name":"Search"', 'SEARCH_KEY', '"errors"', '"mcp_servers":['],
  audit: ['"action":"login"', '"valid":true', /403$/],
  errors: [
    'unauthenticated',
    'invalid-token',
    'forbidden',
    'not-found',
    '"pointer":"/name"',
    /one folder: [0-9a-f-]{36}/,
    'idempotency-key-reused',
    '<',
  ],
}

test('every flow is run', () => {
  const scripts = [...new Glob('*.sh').scanSync(import.meta.dir)].filter((name) => name !== 'lib.sh').map((name) => name.replace('.sh', ''))
  expect(scripts.toSorted()).toEqual(Object.keys(FLOWS).toSorted())
})

const hasCurl = Bun.which('curl') !== null
if (!hasCurl) console.warn('curl is not installed: the flows are skipped')

for (const [flow, expected] of Object.entries(FLOWS))
  test.skipIf(!hasCurl)(
    `the flow ${flow} does as it says`,
    async () => {
      const { PATH = '' } = process.env
      const run = Bun.spawn(['bash', join(import.meta.dir, `${flow}.sh`)], {
        env: { PATH, API: server.url(), ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password },
        stdin: 'ignore',
        stdout: 'pipe',
        stderr: 'pipe',
      })
      const [out, err, code] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text(), run.exited])
      expect(`${code} ${err}${code === 0 ? '' : out}`).toBe('0 ')
      for (const part of expected) expect(out).toMatch(part)
    },
    30_000,
  )
