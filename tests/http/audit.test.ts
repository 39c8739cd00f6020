import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { createAuditWorker } from '~/features/audit/worker'
import { silentLog } from '~/platform/log'
import { auditedBy, auditedIn } from '../support/outbox'
import { startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

setDefaultTimeout(30_000)

let app: TestApp
const stop = new AbortController()
let working: Promise<void>
beforeAll(async () => {
  app = await startApp()
  const { database, redis } = app.services.stores
  working = createAuditWorker({ database, redis, log: silentLog }).run(stop.signal)
})
afterAll(async () => {
  stop.abort()
  await working
  await app.close()
})

/** Everything that was done so far stands in the log. */
const recorded = async () => {
  const count = async () => Number((await app.admin.call('GET', '/api/v1/admin/audit-logs?limit=1000')).body.length)
  await until(async () => (await count()) >= (await auditedBy(app)).length)
}
const idsOf = (rows: { id: string }[]) => rows.map(({ id }) => id)
const nextOf = (headers: Headers) => /<([^>]+)>; rel="next"/.exec(headers.get('link') ?? '')?.[1]

test('an owner reads the log of the own client, page by page, and nothing of another', async () => {
  const { ada, bob } = app
  for (let i = 0; i < 5; i++)
    await ada.call('POST', '/api/v1/agents/', { client_id: ada.clientId, name: `a${i}`, type: 'llm', model: 'demo/echo', config: {} })
  await bob.call('POST', '/api/v1/agents/', { client_id: bob.clientId, name: 'b', type: 'llm', model: 'demo/echo', config: {} })
  await recorded()
  const path = `/api/v1/clients/${ada.clientId}/audit-logs`
  const all = await ada.call('GET', path)
  expect(all.status).toBe(200)
  expect(new Set(all.body.map((row: { client_id: string }) => row.client_id))).toEqual(new Set([ada.clientId]))
  const paged: string[] = []
  for (let next: string | undefined = `${path}?limit=2`; next !== undefined; ) {
    const page = await ada.call('GET', next)
    paged.push(...idsOf(page.body))
    next = nextOf(page.headers)
  }
  expect(paged).toEqual(idsOf(all.body))
  const totalOf = async (query: string) => (await ada.call('GET', `${path}${query}`)).headers.get('x-total-count')
  expect([await totalOf(''), await totalOf('?limit=1&skip=1')]).toEqual(Array(2).fill(String(all.body.length)))
  expect(await totalOf('?limit=1&action=create&resource_type=agent')).toBe('5')
  expect(idsOf((await ada.call('GET', `${path}?action=create&resource_type=agent&skip=1&limit=3`)).body)).toEqual(
    idsOf(all.body.filter(({ action }: { action: string }) => action === 'create')).slice(1, 4),
  )
  expect((await bob.call('GET', path)).status).toBe(403)
  expect((await ada.call('GET', `${path}?cursor=nonsense`)).body.errors).toMatchObject([{ pointer: '/query/cursor' }])
})

test('the export is the same rows as lines of JSON, each with its place in the chain, and is audited itself', async () => {
  const { ada } = app
  await recorded()
  const path = `/api/v1/clients/${ada.clientId}/audit-logs`
  const listed = (await ada.call('GET', `${path}?limit=1000`)).body
  const reply = await fetch(`${app.url}${path}/export`, { headers: { authorization: `Bearer ${ada.token}` } })
  expect(reply.headers.get('content-type')).toBe('application/x-ndjson')
  const text = await reply.text()
  expect(text.endsWith('\n')).toBe(true)
  const rows = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(idsOf(rows).slice(-listed.length)).toEqual(idsOf(listed))
  const bySeq = rows.toSorted((a, b) => a.seq - b.seq)
  for (const [index, row] of bySeq.entries()) if (index > 0) expect(row.prev_hash).toBe(bySeq[index - 1].hash)
  expect((await auditedBy(app)).at(-1)).toMatchObject({ action: 'export', resource_type: 'audit_log', client_id: ada.clientId })
})

test('an admin verifies any chain, and erases what a person left in the log without breaking it', async () => {
  const { admin, ada } = app
  await recorded()
  const verify = async (query: string) => (await admin.call('GET', `/api/v1/admin/audit-logs/verify${query}`)).body
  const before = await verify(`?client_id=${ada.clientId}`)
  expect(before).toMatchObject({ client_id: ada.clientId, valid: true, complete: true, faults: [], erased: 0, first_seq: 1 })
  expect(await verify('')).toMatchObject({ client_id: null, valid: true, complete: true })
  const { status, body } = await admin.call('POST', '/api/v1/admin/audit-logs/erase', { user_id: ada.userId })
  expect([status, body.erased > 0]).toEqual([200, true])
  const own = (await admin.call('GET', `/api/v1/admin/audit-logs?user_id=${ada.userId}&end_date=${new Date().toISOString()}`)).body
  expect(own.every(({ details, ip_address }: Record<string, unknown>) => details === null && ip_address === null)).toBe(true)
  const after = await verify(`?client_id=${ada.clientId}&anchor_seq=${before.head.seq}&anchor_hash=${before.head.hash}`)
  expect(after).toMatchObject({ valid: true, erased: body.erased, faults: [] })
  for (const half of [`anchor_seq=${before.head.seq}`, `anchor_hash=${before.head.hash}`])
    expect((await admin.call('GET', `/api/v1/admin/audit-logs/verify?client_id=${ada.clientId}&${half}`)).status).toBe(422)
  expect((await admin.call('POST', '/api/v1/admin/audit-logs/erase', {})).status).toBe(422)
  expect((await auditedBy(app)).at(-1)).toMatchObject({ action: 'erase', resource_type: 'audit_log' })
})

test('defect 50: a change whose entry cannot be written is not made', async () => {
  const { db } = app.services
  const create = () =>
    app.ada.call('POST', '/api/v1/agents', {
      client_id: app.ada.clientId,
      name: 'unwitnessed',
      type: 'llm',
      model: 'demo/echo',
      config: {},
    })
  await db.execute(sql`alter table outbox add constraint no_entries check (kind <> 'audit') not valid`)
  try {
    expect((await create()).status).toBe(500)
  } finally {
    await db.execute(sql`alter table outbox drop constraint no_entries`)
  }
  const list = () => app.ada.call('GET', '/api/v1/agents/', undefined, { 'x-client-id': app.ada.clientId })
  const named = async () => (await list()).body.filter(({ name }: { name: string }) => name === 'unwitnessed')
  expect(await named()).toEqual([])
  expect((await create()).status).toBe(201)
  expect(await named()).toHaveLength(1)
})

test('ACL-02: a refusal is audited whatever characters the path was made of', async () => {
  const refused = await app.admin.call('DELETE', `/api/v1/admin/email-suppressions/${'a'.repeat(199)}${encodeURIComponent('🌍')}`)
  expect(refused.status).toBe(404)
  expect(await auditedIn(app, refused)).toEqual([expect.objectContaining({ action: 'denied', resource_type: 'email' })])
})
