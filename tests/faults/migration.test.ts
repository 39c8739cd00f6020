import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { createServer } from 'node:net'
import postgres from 'postgres'
import { silentLog } from '~/platform/log'
import { migrate, migrationNames } from '../../db/migrate'
import { outcomeOf } from '../security/transport/row'
import { startSideBySide } from '../support/side-by-side'
import { startApp, type TestApp } from '../support/start-app'

setDefaultTimeout(30_000)

const { databaseUrl: server, isPossible, stop } = await startSideBySide('what a migration does to those who serve')

const name = `evo_migration_${process.pid}`
const databaseUrl = Object.assign(new URL(server), { pathname: name }).href
let admin: postgres.Sql
let app: TestApp | undefined
beforeAll(async () => {
  admin = postgres(server, { max: 1, onnotice: () => {} })
  if (isPossible) await admin`create database ${admin(name)}`
})
afterAll(async () => {
  await app?.close()
  if (isPossible) await admin`drop database ${admin(name)} with (force)`
  await admin.end()
  await stop()
})

test.skipIf(!isPossible)('defect 72: of replicas that start together one migrates, and the others find it done', async () => {
  const results = await Promise.all([1, 2, 3].map(() => migrate({ url: databaseUrl, log: silentLog })))
  const counts = results.map(({ applied }) => applied.length).toSorted((a, b) => b - a)
  expect(counts).toEqual([(await migrationNames()).length, 0, 0])
})

test('a migration says nothing in clear text where encryption is demanded', async () => {
  const heard: Buffer[] = []
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (data) => {
      heard.push(Buffer.from(data))
      // No TLS here.
      socket.write('N')
    })
  })
  const port = await new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => resolve(Object(server.address()).port)))
  const given = `postgres://evo:not-for-the-wire@127.0.0.1:${port}/evo`
  expect(await migrate({ url: given, tls: 'require', log: silentLog }).catch(String)).toContain('does not support TLS')
  server.close()
  expect(heard.map((data) => data.toString('hex'))).toEqual(['0000000804d2162f'])
})

test.skipIf(!isPossible)('a migration understands every database URL that the server does', async () => {
  const url = `${databaseUrl}?pgbouncer=true&connection_limit=5&schema=public`
  expect((await migrate({ url, log: silentLog })).applied).toEqual([])
  const { port, username, password } = new URL(databaseUrl)
  const several = `postgres://${username}:${password}@127.0.0.1:1,127.0.0.1:${port}/${name}?target_session_attrs=prefer-standby`
  expect((await migrate({ url: several, log: silentLog })).applied).toEqual([])
  const stranger = `postgres://nobody:wrong@127.0.0.1:${port}/${name}`
  expect(await migrate({ url: stranger, log: silentLog }).catch(String)).toContain('"nobody"')
})

test.skipIf(!isPossible)(
  'F-16: while a migration holds a table, what needs it gets 503 and all else is served; then the old version goes on',
  async () => {
    await migrate({ url: databaseUrl, log: silentLog })
    app = await startApp({ DATABASE_URL: databaseUrl, DATABASE_STATEMENT_TIMEOUT_MS: '2000' })
    const { call, clientId } = app.ada
    const own = { 'x-client-id': clientId }
    const folders = async () => {
      const { status, headers, body } = await call('GET', '/api/v1/agents/folders', undefined, own)
      return status === 200 ? '200' : outcomeOf({ status, headers, body: JSON.stringify(body) })
    }
    expect(await folders()).toBe('200')
    const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} })
    await sql.begin(async (tx) => {
      await tx`alter table agent_folders add column of_the_next_version text not null default ''`
      expect(await Promise.all([folders(), folders()])).toEqual(['503 dependency-unavailable', '503 dependency-unavailable'])
      expect((await call('POST', '/api/v1/auth/me')).status).toBe(200)
      expect((await app?.stranger('GET', '/livez'))?.status).toBe(200)
    })
    expect(await Promise.all(Array.from({ length: 20 }, folders))).toEqual(Array.from({ length: 20 }, () => '200'))
    const made = await call('POST', '/api/v1/agents/folders', { client_id: clientId, name: 'of the old version' })
    expect(made.status).toBe(201)
    await sql.end()
  },
)
