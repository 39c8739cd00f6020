import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import postgres from 'postgres'
import { openConfig } from '~/platform/catalogue-secrets'
import { ImportInterrupted, importEvoAi } from '../../db/import-evo-ai/import'
import { showReport } from '../../db/import-evo-ai/report'
import { SourceError } from '../../db/import-evo-ai/source'
import { startPglite } from '../support/pglite'
import { startApp, type TestApp } from '../support/start-app'
import { ADA_PASSWORD, CATALOGUE_SECRET, IDS, makeOldDatabase, OLD_KEY, PROVIDER_KEY, ROOT_PASSWORD } from './old-database'

const folder = mkdtempSync(join(tmpdir(), 'evo-import-'))
let old: Awaited<ReturnType<typeof startPglite>>
let app: TestApp
beforeAll(async () => {
  old = await startPglite(folder)
  await makeOldDatabase(old.url)
  app = await startApp()
  await app.services.db.execute(sql`truncate clients, users, mcp_servers, tools, outbox cascade`)
})
afterAll(async () => {
  await app.close()
  old.process.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

const bring = (options: { dryRun?: boolean; signal?: AbortSignal; onProgress?: () => void; oldKeys?: string[] } = {}) =>
  importEvoAi(app.services.stores, { from: old.url, oldKeys: [OLD_KEY], dryRun: false, ...options })

const TABLES = ['clients', 'users', 'agent_folders', 'api_keys', 'mcp_servers', 'tools', 'agents', 'contacts', 'sessions', 'events']
const counts = async () => {
  const rows = await Promise.all(
    TABLES.map((table) => app.services.db.execute<{ rows: number }>(sql.raw(`select count(*)::int as rows from ${table}`))),
  )
  return Object.fromEntries(TABLES.map((table, index) => [table, rows[index]?.[0]?.rows]))
}
const ALL = {
  clients: 2,
  users: 3,
  agent_folders: 1,
  api_keys: 1,
  mcp_servers: 1,
  tools: 1,
  agents: 4,
  contacts: 2,
  sessions: 2,
  events: 251,
}
const NONE = Object.fromEntries(TABLES.map((table) => [table, 0]))

test('a dry run tells what would come over and changes nothing', async () => {
  const report = await bring({ dryRun: true })
  expect(report.tables.get('agents')).toEqual({ found: 5, imported: 4, present: 0, leftOut: 1 })
  expect(await counts()).toEqual(NONE)
})

test('interrupted, resumed and repeated, an import brings each row once', async () => {
  const stop = new AbortController()
  let pages = 0
  const interrupted = bring({ signal: stop.signal, onProgress: () => ++pages === 9 && stop.abort() })
  expect(await interrupted.catch((error) => error)).toBeInstanceOf(ImportInterrupted)
  const half = await counts()
  expect(half.events).toBeGreaterThan(0)
  expect(half.events).toBeLessThan(ALL.events)

  const resumed = await bring()
  expect(await counts()).toEqual(ALL)
  for (const { found, imported, present, leftOut } of resumed.tables.values()) expect(imported + present + leftOut).toBe(found)

  const repeated = await bring()
  expect(await counts()).toEqual(ALL)
  expect([...repeated.tables.values()].map(({ imported }) => imported)).toEqual(Array(9).fill(0))
})

test('the report says of each row that stayed behind or changed why', async () => {
  const report = await bring({ dryRun: true })
  const leftOut = report.remarks.filter(({ kind }) => kind === 'left-out').map(({ table, id, why }) => [table, id, why])
  expect(leftOut).toEqual([
    ['clients', IDS.acmeTwin, 'another client has its address, but for upper and lower case'],
    ['users', IDS.nobody, 'neither an admin nor of any client'],
    ['agent_folders', IDS.orphanFolder, 'its client was deleted'],
    ['api_keys', IDS.badKey, 'it does not open with the old ENCRYPTION_KEY that was given'],
    ['agents', IDS.crew, 'there are no agents of type crew_ai any more'],
    ['sessions', `lost_${IDS.gone}`, 'its agent is gone'],
    ['events', 'ev000002', 'it says nothing'],
    ['events', 'ev000001', 'its session did not come over'],
  ])
  expect(showReport(report)).toContain('clients, left out: another client has its address, but for upper and lower case')
  expect(showReport(report)).not.toContain(PROVIDER_KEY)
})

test('people sign in with their old passwords and see what is theirs', async () => {
  const login = await app.stranger('POST', '/api/v1/auth/login', { email: 'ada@acme.example', password: ADA_PASSWORD })
  expect(login.status).toBe(200)
  const ada = app.callWith(login.body.access_token)
  expect(
    (await ada('GET', '/api/v1/agents/', undefined, { 'x-client-id': IDS.acme })).body.map(({ name }: { name: string }) => name),
  ).toEqual(['chain', 'helper', 'twin'])
  const helper = await ada('GET', `/api/v1/agents/${IDS.helper}`)
  expect(helper.body).toMatchObject({
    folder_id: IDS.folder,
    api_key_id: IDS.key,
    config: { api_key: 'the-old-agent-key', load_memory: true },
  })
  expect((await app.stranger('POST', '/api/v1/auth/login', { email: 'bob@globex.example', password: 'bobs password' })).status).toBe(403)
})

test('what the catalogues had in clear is sealed, and opens for runs', async () => {
  const rows = await app.services.db.execute<{ name: string; id: string; config: Record<string, unknown> }>(
    sql`select 'mcp_servers' as name, id, config_json as config from mcp_servers union all select 'tools', id, config_json from tools`,
  )
  expect(JSON.stringify(rows)).not.toContain(CATALOGUE_SECRET)
  const { platform } = app.services.secrets
  expect(rows.map(({ name, id, config }) => openConfig(platform, `${name}:${id}`, config))).toEqual([
    { command: 'npx', args: ['-y', '@acme/files@1.0.0'], env: { TOKEN: CATALOGUE_SECRET, OWN: 'env@@OWN' } },
    { a: 1, headers: { 'x-key': CATALOGUE_SECRET } },
  ])
})

test('PWD-06: a password that the old server cut at 72 bytes is taken whole, and from then on the cut one is refused', async () => {
  expect(ROOT_PASSWORD).toHaveLength(80)
  const signIn = (password: string) => app.stranger('POST', '/api/v1/auth/login', { email: 'root@evo.example', password })
  expect((await signIn(ROOT_PASSWORD)).status).toBe(200)
  expect((await signIn(ROOT_PASSWORD.slice(0, 72))).status).toBe(401)
  expect((await signIn(ROOT_PASSWORD)).status).toBe(200)
})

test('a conversation keeps its order and goes on, with the old key of the agent', async () => {
  const answer = await app.stranger(
    'POST',
    `/api/v1/chat/${IDS.helper}/20250301`,
    { message: 'again' },
    { 'x-api-key': 'the-old-agent-key' },
  )
  expect(answer).toMatchObject({ status: 200, body: { response: 'Echo: again' } })
  const login = await app.stranger('POST', '/api/v1/auth/login', { email: 'ada@acme.example', password: ADA_PASSWORD })
  const messages = await app.callWith(login.body.access_token)('GET', `/api/v1/sessions/20250301_${IDS.helper}/messages`)
  const texts = messages.body.map(({ content }: { content: { parts: { text: string }[] } }) => content.parts[0]?.text)
  expect(texts).toEqual([...Array.from({ length: 250 }, (_, n) => `line ${n}`), 'again', 'Echo: again'])
  const other = await app.callWith(login.body.access_token)('GET', `/api/v1/sessions/with_underscore_${IDS.helper}/messages`)
  expect(other.body[0].content.parts[1].inline_data).toEqual({ data: 'aGk=', mime_type: 'text/plain' })
})

test('KEY-05: a provider key is sealed anew and opens for its client; a shared agent key stays with the first, a foreign folder stays behind', async () => {
  expect(await app.services.providerKeys.reveal(IDS.acme, IDS.key)).toBe(PROVIDER_KEY)
  const rows = await app.services.db.execute<{ sealed: string }>(sql`select encrypted_key as sealed from api_keys`)
  expect(rows[0]?.sealed).not.toContain(PROVIDER_KEY)
  const twin = await app.stranger('POST', `/api/v1/chat/${IDS.twin}/x`, { message: 'hi' }, { 'x-api-key': 'the-old-agent-key' })
  expect(twin.status).toBe(401)
  const [foreign] = await app.services.db.execute<{ folder_id: string | null; api_key_id: string | null }>(
    sql`select folder_id, api_key_id from agents where id = ${IDS.foreign}`,
  )
  expect(foreign).toEqual({ folder_id: null, api_key_id: null })
})

test('a database of something else is refused with what it lacks', async () => {
  const refusal = (from: string) => importEvoAi(app.services.stores, { from, oldKeys: [], dryRun: true }).catch((error) => error)
  const inOld = async (statement: string) => {
    const connection = postgres(old.url, { max: 1 })
    await connection.unsafe(statement)
    await connection.end()
  }
  await inOld('alter table agents rename to agents_of_another')
  expect(await refusal(old.url)).toEqual(new SourceError('this is no database of Evo AI 0.1.0: it has no table agents'))
  await inOld('alter table agents_of_another rename to agents; create table outbox (id uuid)')
  expect(await refusal(old.url)).toEqual(new SourceError('this is a database of this server, not of Evo AI 0.1.0'))
  expect(await refusal('postgres://127.0.0.1:1/none')).toBeInstanceOf(SourceError)
})
