import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import postgres from 'postgres'
import { createIdempotencyUpkeep } from '~/platform/idempotency-upkeep'
import { silentLog } from '~/platform/log'
import { createServices } from '~/processes/services'
import { migrate } from '../../db/migrate'
import { withSurface } from '../security/transport/row'
import { startSideBySide } from '../support/side-by-side'
import { startApp, type TestApp } from '../support/start-app'

setDefaultTimeout(30_000)

const { databaseUrl, isPossible, stop } = await startSideBySide('what becomes of two requests at the same time')

let app: TestApp
beforeAll(async () => {
  await migrate({ url: databaseUrl, log: silentLog })
  app = await startApp({ DATABASE_URL: databaseUrl })
})
afterAll(async () => {
  await app.close()
  await stop()
})

const FOLDERS = '/api/v1/agents/folders'
const keyOf = (key: string) => ({ 'idempotency-key': key })
const makeFolder = (name: string, key: string, person = app.ada) =>
  person.call('POST', FOLDERS, { client_id: person.clientId, name }, keyOf(key))
const foldersNamed = async (name: string) =>
  (await app.services.db.execute<{ count: number }>(sql`select count(*)::int as count from agent_folders where name = ${name}`))[0]?.count
const problemOf = ({ status, body }: { status: number; body: { type?: string } }) => `${status} ${body.type?.split('/').at(-1)}`

test.skipIf(!isPossible)(
  'COST-04: a second request while the first is under way is told so; when the first dies before its COMMIT, the key is free',
  async () => {
    const locker = postgres(databaseUrl, { max: 1, onnotice: () => {} })
    const fingerprint = 'of whatever the first one sends'
    const dies = new Error('the process of the first request dies')
    const first = locker.begin(async (tx) => {
      await tx`insert into idempotency_keys (scope, route, key, fingerprint) values (${app.ada.clientId}, ${`POST ${FOLDERS}`}, 'busy', ${fingerprint})`
      expect(problemOf(await makeFolder('busy', 'busy'))).toBe('409 idempotency-in-progress')
      // Others do not wait for it: another client, another key.
      expect((await makeFolder('busy', 'busy', app.bob)).status).toBe(201)
      expect((await makeFolder('not busy', 'free')).status).toBe(201)
      throw dies
    })
    expect(await first.catch((error) => error)).toBe(dies)
    await locker.end()
    expect((await makeFolder('busy', 'busy')).status).toBe(201)
    expect(await foldersNamed('busy')).toBe(2)
  },
)

test('COST-04: a process that dies after its COMMIT has done it: another gives the same answer, with all caches and Redis empty', async () => {
  const first = await makeFolder('once', 'crash')
  await app.services.stores.redis.run((client) => client.flushdb())
  const another = createServices(app.config, { log: silentLog, owner: 'another', recoverEveryMs: 60_000 })
  await withSurface(app, { services: another }, async ({ url }) => {
    const again = await fetch(url + FOLDERS, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.ada.token}`, 'content-type': 'application/json', ...keyOf('crash') },
      body: JSON.stringify({ client_id: app.ada.clientId, name: 'once' }),
    })
    expect([again.status, await again.json()]).toEqual([first.status, first.body])
  }).finally(() => another.close())
  expect(await foldersNamed('once')).toBe(1)
})

test('COST-04: another body is refused; another route and another client are others, a colleague is not', async () => {
  const { status, body } = await makeFolder('mine', 'scope')
  expect(status).toBe(201)
  const reused = await makeFolder('other', 'scope')
  expect(problemOf(reused)).toBe('422 idempotency-key-reused')
  expect(reused.body.errors).toMatchObject([{ pointer: '/header/idempotency-key', code: 'reused' }])
  const contact = await app.ada.call('POST', '/api/v1/contacts', { client_id: app.ada.clientId }, keyOf('scope'))
  expect(contact.status).toBe(201)
  expect((await app.ada.call('POST', '/api/v1/contacts', { client_id: app.ada.clientId }, keyOf('scope'))).body).toEqual(contact.body)
  const foreign = await makeFolder('mine', 'scope', app.bob)
  expect([foreign.status, foreign.body.id === body.id]).toEqual([201, false])
  const colleague = await app.join('colleague@example.com', app.ada.clientId, 'member')
  expect((await makeFolder('mine', 'scope', colleague)).body).toEqual(body)
  expect(problemOf(await makeFolder('other', 'scope', colleague))).toBe('422 idempotency-key-reused')
  // With and without a slash at its end it is the same route.
  const slash = await app.ada.call('POST', `${FOLDERS}/`, { client_id: app.ada.clientId, name: 'mine' }, keyOf('scope'))
  expect(slash.body).toEqual(body)
})

test('COST-04: each machine key of a client has Idempotency-Keys of its own', async () => {
  const made = { name: 'a job', scopes: ['agents:write'] }
  const callers = await Promise.all(
    [1, 2].map(async () => app.callWith((await app.ada.call('POST', `/api/v1/clients/${app.ada.clientId}/machine-keys`, made)).body.key)),
  )
  const folders = callers.map((call) => call('POST', FOLDERS, { client_id: app.ada.clientId, name: 'of a job' }, keyOf('nightly')))
  expect((await Promise.all(folders)).map(({ status }) => status)).toEqual([201, 201])
  expect(await foldersNamed('of a job')).toBe(2)
})

test('a request that was refused has used up nothing, and a key that is none is refused', async () => {
  const refused = await app.ada.call('POST', FOLDERS, { client_id: app.bob.clientId, name: 'later' }, keyOf('later'))
  expect(problemOf(refused)).toBe('403 forbidden')
  expect(problemOf(await makeFolder('', 'later'))).toBe('422 validation-failed')
  expect((await makeFolder('later', 'later')).status).toBe(201)
  for (const bad of ['two words', 'x'.repeat(256), 'caf\u00e9']) {
    const answer = await makeFolder('never', bad)
    expect([bad, answer.status, answer.body.errors?.[0]?.pointer]).toEqual([bad, 422, '/header/idempotency-key'])
  }
  expect((await makeFolder('longest', 'x'.repeat(255))).status).toBe(201)
  expect(await foldersNamed('never')).toBe(0)
})

test('a key is known for a week, and then free', async () => {
  for (const key of ['of yesterday', 'of last week']) expect((await makeFolder(key, key.replaceAll(' ', '-'))).status).toBe(201)
  const age = (key: string, ago: string) =>
    app.services.db.execute(sql`update idempotency_keys set created_at = now() - ${ago}::interval where key = ${key}`)
  await age('of-yesterday', '6 days 23 hours')
  await age('of-last-week', '7 days 1 hour')
  expect(await createIdempotencyUpkeep({ db: app.services.db, log: silentLog }).sweep()).toBe(1)
  for (const key of ['of yesterday', 'of last week']) expect((await makeFolder(key, key.replaceAll(' ', '-'))).status).toBe(201)
  expect(await foldersNamed('of yesterday')).toBe(1)
  expect(await foldersNamed('of last week')).toBe(2)
})
