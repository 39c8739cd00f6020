import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { takeLock } from '~/processes/lock-file'
import { seed } from '../db/seed'
import { startApp, type TestApp } from './support/start-app'

const folder = mkdtempSync(join(tmpdir(), 'evo-seed-'))
let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(async () => {
  await app.services.db.execute(sql`truncate clients, users, mcp_servers, outbox cascade`)
  await app.close()
  rmSync(folder, { recursive: true, force: true })
})

const DEMO = { email: 'demo@example.com', password: undefined, clientName: 'Demo Client' }

const seedHere = () => {
  const { stores, passwords } = app.services
  return seed({ ...stores, passwords, demo: DEMO })
}

/** How many rows each table has, and when each was last changed. */
const fingerprint = async () => {
  const tables = ['clients', 'users', 'agent_folders', 'agents', 'contacts', 'mcp_servers']
  const rows = await Promise.all(
    tables.map((table) =>
      app.services.db.execute(sql.raw(`select '${table}' as name, count(*)::int as rows, max(updated_at)::text as changed from ${table}`)),
    ),
  )
  return rows.map(([row]) => row)
}

test('the demo user signs in and talks to the demo agent; a second run changes nothing', async () => {
  const first = await seedHere()
  const login = await app.stranger('POST', '/api/v1/auth/login', { email: DEMO.email, password: first.password })
  expect(login.status).toBe(200)
  const authorization = { authorization: `Bearer ${login.body.access_token}` }
  const agent = await app.stranger('GET', `/api/v1/agents/${first.agentId}`, undefined, authorization)
  expect(agent).toMatchObject({ status: 200, body: { name: 'demo_echo', model: 'demo/echo' } })
  const answer = await app.stranger(
    'POST',
    `/api/v1/chat/${first.agentId}/grace`,
    { message: 'hello' },
    { 'x-api-key': agent.body.config.api_key },
  )
  expect(answer).toMatchObject({ status: 200, body: { response: 'Echo: hello' } })

  const before = await fingerprint()
  expect(await seedHere()).toEqual({ created: [], agentId: first.agentId })
  expect(await fingerprint()).toEqual(before)
})

test('the official MCP servers have the ids under which agents name them', async () => {
  await seedHere()
  const rows = await app.services.db.execute<{ id: string; name: string }>(sql`select id, name from mcp_servers`)
  expect(Object.fromEntries(rows.map(({ name, id }) => [name, id]))).toEqual({
    'Brave Search': 'b73dc2e8-9d91-4167-a8f1-1102c42af3d2',
    Github: '49c7b182-b341-4cc4-864c-7ae623ba41a7',
    'Sequential Thinking': '6e878520-4a49-45f8-b42c-621bffcf70bf',
    Gitlab: 'b626b528-13ac-4d63-aa74-c4acecde9e29',
    Airbnb: '7bb73ef1-22da-4c05-a05d-d31db4243560',
    Serper: 'ae214cb1-92f0-473c-93a3-e2075884bf4d',
    Firecrawl: '01bcc7ef-a6a5-4264-9e47-9f565499eaaa',
  })
})

const runSeed = (env: Record<string, string>) => runScript('seed.ts', env)

async function runScript(name: string, env: Record<string, string>) {
  const { PATH = '', HOME = '' } = process.env
  const script = Bun.spawn([process.execPath, join(import.meta.dir, '../db', name)], {
    env: { PATH, HOME, EVO_DATA_DIR: join(folder, 'data'), ...env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [out, err, code] = await Promise.all([new Response(script.stdout).text(), new Response(script.stderr).text(), script.exited])
  return { out, err, code }
}

test('defect 48: production is refused, whatever else is configured', async () => {
  const { code, err } = await runSeed({ NODE_ENV: 'production', DATABASE_URL: process.env.DATABASE_URL ?? '' })
  expect([code, err]).toEqual([1, 'Cannot seed: demo data is for development, not for NODE_ENV=production\n'])
})

test('while a server has the embedded database, the script says what to do', async () => {
  await Bun.$`mkdir -p ${join(folder, 'data')}`
  const lock = takeLock(join(folder, 'data', 'server.lock'), 0)
  const { code, err } = await runSeed({})
  lock?.release()
  expect(code).toBe(1)
  expect(err).toMatch(/^Cannot seed: another server uses .* \(EVO_DATA_DIR\); stop it first, and start it again afterwards\n$/)
})

test('db:migrate says what it applied, to the embedded database too, or in one line why it cannot', async () => {
  const embedded = { EVO_DATA_DIR: join(folder, 'to-migrate') }
  const first = await runScript('migrate.ts', embedded)
  expect(first).toMatchObject({ code: 0, out: expect.stringMatching(/^applied 0001_\S+, .*\.sql\n$/) })
  expect(await runScript('migrate.ts', embedded)).toMatchObject({ code: 0, out: 'nothing to apply\n' })
  const away = await runScript('migrate.ts', { DATABASE_URL: 'postgres://user:hunter22@127.0.0.1:1/evo' })
  expect(away).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/^Cannot migrate: .*127\.0\.0\.1:1.*\n$/) })
}, 60_000)
