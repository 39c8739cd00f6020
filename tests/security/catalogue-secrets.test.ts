import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { openConfig } from '~/platform/catalogue-secrets'
import { createSecrets } from '~/platform/secrets'
import { resealCatalogues } from '../../db/reseal-catalogues'
import { startApp, type TestApp } from '../support/start-app'

const SECRET = 'a-literal-secret-7hQ2'
const HINT = '__secret__:7hQ2'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app.close())

interface Stored extends Record<string, unknown> {
  id: string
  config: Record<string, unknown>
}
const stored = async (table: string, id: string) =>
  (await app.services.db.execute<Stored>(sql`select id, config_json as config from ${sql.identifier(table)} where id = ${id}`))[0]
    ?.config ?? {}

const KINDS = [
  {
    what: 'a remote server',
    table: 'mcp_servers',
    path: '/api/v1/mcp-servers/',
    config: { url: `https://mcp.example.com/sse?key=${SECRET}`, headers: { authorization: `Bearer ${SECRET}`, own: 'env@@OWN' } },
    masked: { url: `https://mcp.example.com/sse?${HINT}`, headers: { authorization: HINT, own: 'env@@OWN' } },
    elsewhere: { url: `https://elsewhere.example.com/sse?${HINT}`, headers: { authorization: HINT } },
    masks: ['/config_json/headers/authorization', '/config_json/url'],
  },
  {
    what: 'a command',
    table: 'mcp_servers',
    path: '/api/v1/mcp-servers/',
    config: {
      command: 'npx',
      args: ['-y', 'some-server@1.2.3', '/data', `--api-key=${SECRET}`, '--token', SECRET, `postgres://host/?password=${SECRET}`],
      env: { TOKEN: SECRET, OWN: 'env@@OWN' },
    },
    masked: {
      command: 'npx',
      args: ['-y', 'some-server@1.2.4', '/data', `--api-key=${HINT}`, '--token', HINT, HINT],
      env: { TOKEN: HINT, OWN: 'env@@OWN' },
    },
    elsewhere: { command: 'npx', args: ['-y', 'other-server@1.2.3', `--api-key=${HINT}`, '--token', HINT], env: { TOKEN: HINT } },
    masks: ['/config_json/args/2', '/config_json/args/4', '/config_json/env/TOKEN'],
  },
  {
    what: 'an HTTP tool',
    table: 'tools',
    path: '/api/v1/tools/',
    config: {
      method: 'POST',
      endpoint: `https://api.example.com/x?key=${SECRET}`,
      headers: { 'x-key': SECRET },
      values: { key: SECRET, count: 3 },
    },
    masked: {
      method: 'POST',
      endpoint: `https://api.example.com/y?${HINT}`,
      headers: { 'x-key': HINT },
      values: { key: HINT, count: 3 },
    },
    elsewhere: { method: 'POST', endpoint: `https://elsewhere.example.com/x?${HINT}`, headers: { 'x-key': HINT } },
    masks: ['/config_json/endpoint', '/config_json/headers/x-key'],
  },
]

describe.each(KINDS)('$what', ({ table, path, config, masked, elsewhere, masks }) => {
  const open = (id: string, text: Record<string, unknown>) => openConfig(app.services.secrets.platform, `${table}:${id}`, text)
  const send = (method: string, at: string, config_json: object) =>
    app.admin.call(method, at, { name: 'n', config_json, ...(table === 'tools' ? {} : { tools: [] }) })

  test('its secrets are sealed at rest, shown to admins by their end, to others not at all, and kept when the mask comes back', async () => {
    const made = await send('POST', path, config)
    const { id } = made.body
    expect(made.status).toBe(201)
    const atRest = await stored(table, id)
    expect(JSON.stringify(atRest)).not.toContain(SECRET)
    expect(open(id, atRest)).toEqual(config)
    // What was read, changed where no secret is: another version, another path of the same host.
    const replaced = await send('PUT', path + id, masked)
    expect([replaced.status, replaced.body.config_json]).toEqual([200, masked])
    const kept = JSON.stringify(open(id, await stored(table, id)))
    expect(kept.split(SECRET).length).toBe(JSON.stringify(config).split(SECRET).length)
    for (const { call } of [app.admin, app.ada])
      for (const at of [path + id, path]) expect(JSON.stringify((await call('GET', at)).body)).not.toContain(SECRET)
    expect(JSON.stringify((await app.ada.call('GET', path + id)).body)).not.toContain('__secret__')
    const audited = await app.services.db.execute(sql`select payload::text as text from outbox where payload->>'resource_id' = ${id}`)
    expect(audited).toHaveLength(2)
    expect(JSON.stringify(audited)).not.toMatch(new RegExp(`${SECRET}|__sealed__`))
  })

  test('a mask stands for nothing where there is no such secret, and not for what would go elsewhere', async () => {
    const { body } = await send('POST', path, config)
    for (const answer of [await send('POST', path, elsewhere), await send('PUT', path + body.id, elsewhere)])
      expect([answer.status, answer.body.errors.map(({ pointer }: { pointer: string }) => pointer).toSorted()]).toEqual([422, masks])
    expect(open(body.id, await stored(table, body.id))).toEqual(config)
  })

  test('a ciphertext of another entry opens nothing, whether it is sent or moved', async () => {
    const [one, other] = [(await send('POST', path, config)).body.id, (await send('POST', path, config)).body.id]
    const foreign = await stored(table, other)
    expect((await send('PUT', path + one, foreign)).status).toBe(422)
    expect(() => open(one, foreign)).toThrow('A stored secret cannot be decrypted.')
  })
})

test('a repeated creation is answered alike, and its stored answer holds no secret', async () => {
  const body = { name: 'n', config_json: KINDS[2]?.config }
  const answers = [1, 2].map(() => app.admin.call('POST', '/api/v1/tools/', body, { 'idempotency-key': 'catalogue' }))
  const [first, second] = await Promise.all(answers)
  expect(second?.body).toEqual(first?.body)
  const kept = await app.services.db.execute(sql`select response::text as text from idempotency_keys where key = 'catalogue'`)
  expect(kept).toHaveLength(1)
  expect(JSON.stringify(kept)).not.toContain(SECRET)
})

test('keys:rewrap brings them under the newest key, and seals what rows of old have in clear', async () => {
  const { db } = app.services
  const [OLD, NEW] = ['an old key-encryption key of enough bytes', 'a new key-encryption key of enough bytes!']
  const older = createSecrets({ keyEncryptionKeys: [OLD] })
  const both = createSecrets({ keyEncryptionKeys: [NEW, OLD] })
  await db.execute(sql`truncate mcp_servers, tools`)
  const [clear, sealed, plain] = [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()]
  const insert = (id: string, config: object) =>
    db.execute(sql`insert into tools (id, name, config_json) values (${id}, 'n', ${JSON.stringify(config)}::jsonb)`)
  await insert(clear, { headers: { 'x-key': SECRET } })
  await insert(sealed, { headers: { 'x-key': `__sealed__:7hQ2:${older.platform.seal(`tools:${sealed}`, SECRET)}` } })
  await insert(plain, { headers: { own: 'env@@OWN' } })
  const headersOf = async (id: string) =>
    openConfig(createSecrets({ keyEncryptionKeys: [NEW] }).platform, `tools:${id}`, await stored('tools', id)).headers

  expect(await resealCatalogues({ db, secrets: both, signal: AbortSignal.abort() })).toBe(0)
  expect(await resealCatalogues({ db, secrets: both })).toBe(2)
  expect(await resealCatalogues({ db, secrets: both })).toBe(0)
  expect(JSON.stringify(await stored('tools', clear))).not.toContain(SECRET)
  expect([await headersOf(clear), await headersOf(sealed), await headersOf(plain)]).toEqual([
    { 'x-key': SECRET },
    { 'x-key': SECRET },
    { own: 'env@@OWN' },
  ])
})
