import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { sql } from 'drizzle-orm'
import { verifyChain } from '~/features/audit/verify'
import { createAuditWorker } from '~/features/audit/worker'
import { createErasureService } from '~/features/erasures/service'
import { silentLog } from '~/platform/log'
import type { UserPrincipal } from '~/platform/principal'
import { placesIn } from '../support/places'
import { startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

let app: TestApp
beforeAll(async () => {
  app = await startApp({ DATABASE_RLS: 'enforce' })
})
afterAll(() => app.close())

const EXT_ID = 'whatsapp-4917012345'
const NAME = 'Rosalind Quagmire'
const WORD = 'heliotrope-umbrella'

async function makeAgent(more: object = {}): Promise<string> {
  const draft = { client_id: app.ada.clientId, name: 'guide', type: 'llm', model: 'demo/echo', config: {}, ...more }
  return (await app.ada.call('POST', '/api/v1/agents', draft)).body.id
}

const makeContact = async (extId: string, key: string): Promise<string> =>
  (
    await app.ada.call(
      'POST',
      '/api/v1/contacts',
      { client_id: app.ada.clientId, ext_id: extId, name: NAME, meta: { note: WORD } },
      { 'idempotency-key': key },
    )
  ).body.id

const placesOf = (words: string[]) => placesIn(app, words)

test('after it no table, stream or key holds the name, the external id or a word of the contact', async () => {
  const agentId = await makeAgent()
  const contactId = await makeContact(EXT_ID, 'make-contact')
  const webhook = { url: 'https://93.184.216.34/', events: ['run.finished'] }
  expect((await app.ada.call('POST', `/api/v1/clients/${app.ada.clientId}/webhooks/`, webhook)).status).toBe(201)
  const note = { filename: 'rosalind.txt', content_type: 'text/plain', data: Buffer.from(WORD).toString('base64') }
  const said = { message: `My word is ${WORD}`, files: [note] }
  expect(await app.ada.call('POST', `/api/v1/chat/${agentId}/${EXT_ID}`, said, { 'idempotency-key': 'say-it' })).toMatchObject({
    status: 200,
  })
  expect(await app.ada.call('POST', `/api/v1/chat/${agentId}/1${EXT_ID}`, { message: 'hello' })).toMatchObject({ status: 200 })
  await app.ada.call('PUT', `/api/v1/budgets/${app.ada.clientId}/session/${EXT_ID}_${agentId}`, { limit_usd: 5 })
  const before = await placesOf([NAME, WORD])
  for (const place of ['contacts', 'events', 'runs', 'run_steps', 'idempotency_keys']) expect(before.join()).toContain(`${place}:`)
  expect(before.some((place) => place.includes(':log'))).toBe(true)

  const receipt = await app.ada.call('POST', `/api/v1/contacts/${contactId}/erase`)
  expect(receipt).toMatchObject({
    status: 200,
    body: {
      contact_id: contactId,
      removed: { contacts: 1, sessions: 1, runs: 1, files: 1, budgets: 1, idempotency_keys: 2, webhook_deliveries: 1 },
      emptied: { usage_records: 1 },
      streams: 1,
    },
  })
  const { hash, ...facts } = receipt.body
  expect(hash).toBe(createHash('sha256').update(JSON.stringify(facts)).digest('hex'))
  expect(await placesOf([NAME, WORD, 'rosalind.txt'])).toEqual([])
  // The neighbour's id only ends in it.
  const left = await placesOf([EXT_ID])
  const neighbours = await placesOf([`1${EXT_ID}`])
  expect(left.map((place) => place.split(':')[0])).toEqual(neighbours.map((place) => place.split(':')[0]))
  const [exact] = await app.services.db.execute<{ n: number }>(sql`
    select ((select count(*) from sessions where external_id = ${EXT_ID}) + (select count(*) from outbox where payload::text like ${`%"${EXT_ID}_%`})
      + (select count(*) from usage_records where session_id like ${`${EXT_ID}_%`}))::int as n`)
  expect(exact).toEqual({ n: 0 })
  expect((await app.ada.call('GET', `/api/v1/sessions/1${EXT_ID}_${agentId}/messages`)).body).toHaveLength(2)

  expect(await app.ada.call('POST', `/api/v1/contacts/${contactId}/erase`)).toMatchObject({ status: 200, body: receipt.body })
  const [entry] = await app.services.db.execute<{ payload: Record<string, unknown> }>(
    sql`select payload from outbox where id = ${receipt.body.audit_id}`,
  )
  expect(entry?.payload).toMatchObject({ action: 'erase', resource_type: 'contact', resource_id: contactId, client_id: app.ada.clientId })
  expect(await verifyChain(app.services.db, { clientId: app.ada.clientId })).toMatchObject({ valid: true })
})

const makeSlowAgent = () => {
  const delay = { id: 'd', type: 'delay-node', position: { x: 0, y: 0 }, data: { label: 'wait', delay: { value: 60, unit: 'minutes' } } }
  const start = { id: 's', type: 'start-node', position: { x: 0, y: 0 }, data: { label: 'start' } }
  const workflow = { nodes: [start, delay], edges: [{ id: 'e', source: 's', target: 'd' }] }
  return makeAgent({ name: 'slow', type: 'workflow', config: { workflow } })
}
const startRun = (agentId: string, externalId: string) =>
  app.ada.call('POST', `/api/v1/agents/${agentId}/runs`, { message: WORD, external_id: externalId, mode: 'background' })

test('nor does the answer to a decision that may be repeated, with what the agent wanted to do', async () => {
  const tool = { name: 'book', method: 'POST', endpoint: 'https://93.184.216.34/', require_approval: true }
  const parameters = { body_params: { name: { type: 'string' } } }
  const agentId = await makeAgent({ name: 'booker', config: { custom_tools: { http_tools: [{ ...tool, parameters }] } } })
  const contactId = await makeContact('decided', 'make-decided')
  const asked = { message: `/tool book {"name": "${WORD}"}`, external_id: 'decided' }
  const run = await app.ada.call('POST', `/api/v1/agents/${agentId}/runs`, asked)
  expect(run.body.waiting_for).toMatchObject({ reason: 'approval' })
  const decision = ['POST', `/api/v1/runs/${run.body.id}/approve`, { decision: 'reject' }] as const
  expect((await app.ada.call(...decision, { 'idempotency-key': 'decide' })).body.arguments).toEqual({ name: WORD })
  expect((await app.ada.call('POST', `/api/v1/contacts/${contactId}/erase`)).status).toBe(200)
  expect(await placesOf([WORD])).toEqual([])
})

test('a run in hand is cancelled first', async () => {
  const agentId = await makeSlowAgent()
  const contactId = await makeContact('in-hand', 'make-slow')
  const started = await startRun(agentId, 'in-hand')
  expect(started.status).toBe(202)
  expect(await app.ada.call('POST', `/api/v1/contacts/${contactId}/erase`)).toMatchObject({ status: 200, body: { removed: { runs: 1 } } })
  expect((await app.ada.call('GET', `/api/v1/runs/${started.body.id ?? started.body.run_id}`)).status).toBe(404)
  expect(await placesOf([WORD])).toEqual([])
})

test('a run that begins meanwhile is cancelled too, and its last words are forgotten with it', async () => {
  const { db, write, clock, runs } = app.services
  const agentId = await makeSlowAgent()
  const contactId = await makeContact('meanwhile', 'make-meanwhile')
  const owner: UserPrincipal = {
    kind: 'user',
    userId: app.ada.userId,
    email: app.ada.email,
    isAdmin: false,
    role: 'owner',
    clientId: app.ada.clientId,
    tokenId: crypto.randomUUID(),
    sessionId: crypto.randomUUID(),
    origin: { traceId: '0'.repeat(32), address: '-', userAgent: null },
  }
  const forgotten: string[][] = []
  const erasures = createErasureService({
    db,
    write,
    clock,
    cancelRun: runs.cancelOwn,
    async forgetRuns(ids) {
      // Behind the look that found none.
      if (forgotten.push(ids) === 1) expect((await startRun(agentId, 'meanwhile')).status).toBe(202)
      return ids.length
    },
  })
  expect(await erasures.erase(owner, contactId)).toMatchObject({ removed: { sessions: 1, runs: 1 } })
  expect(forgotten.map((ids) => ids.length)).toEqual([0, 1, 1])
})

test('a worker that writes the audit log meanwhile writes down nothing of who is erased, and the chain holds', async () => {
  const { db, stores } = app.services
  const agentId = await makeAgent()
  const stop = new AbortController()
  const working = createAuditWorker({ database: stores.database, redis: stores.redis, log: silentLog }).run(stop.signal)
  const people = Array.from({ length: 8 }, (_, n) => `telegram-99${n}-passing`)
  const waiting = async () =>
    (await db.execute<{ n: number }>(sql`select count(*)::int as n from outbox where kind = 'audit' and done_at is null`))[0]?.n
  for (const [n, extId] of people.entries()) {
    const contactId = await makeContact(extId, `make-${extId}`)
    await app.ada.call('POST', `/api/v1/chat/${agentId}/${extId}`, { message: 'hello' })
    // Of every other one all entries are written by then; of the rest the worker has them in hand.
    if (n % 2 === 0) await until(async () => (await waiting()) === 0)
    expect((await app.ada.call('POST', `/api/v1/contacts/${contactId}/erase`)).status).toBe(200)
  }
  await until(async () => (await waiting()) === 0)
  stop.abort()
  await working
  const [log] = await db.execute<{ runs: number; erased: number }>(
    sql`select count(*) filter (where action = 'run')::int as runs, count(*) filter (where action = 'erase')::int as erased from audit_logs`,
  )
  expect(log?.runs).toBeGreaterThanOrEqual(people.length)
  expect(log?.erased).toBeGreaterThanOrEqual(people.length)
  expect(await placesOf(people)).toEqual([])
  expect(await verifyChain(db, { clientId: app.ada.clientId })).toMatchObject({ valid: true })
})

test('it is for the owner, and a foreign contact is as absent as an unknown one', async () => {
  const contactId = await makeContact('kept', 'make-kept')
  const member = await app.join('member@example.com', app.ada.clientId, 'member')
  expect((await member.call('POST', `/api/v1/contacts/${contactId}/erase`)).status).toBe(403)
  for (const id of [contactId, crypto.randomUUID()])
    expect(await app.bob.call('POST', `/api/v1/contacts/${id}/erase`)).toMatchObject({ status: 404, body: { detail: 'Contact not found' } })
  expect((await app.ada.call('GET', `/api/v1/contacts/${contactId}`)).status).toBe(200)
})

test('who has talked a lot, to a client that was told a lot, is erased within the deadline of a statement', async () => {
  const { db } = app.services
  const { clientId } = app.ada
  const agentId = await makeAgent()
  const contactId = await makeContact('talkative', 'make-talkative')
  await app.ada.call('POST', `/api/v1/chat/${agentId}/talkative`, { message: 'hello' })
  await db.execute(sql`
    insert into runs (id, client_id, agent_id, session_id, status, input, trace_id, deadline_at, finished_at)
    select gen_random_uuid(), ${clientId}, ${agentId}, ${`talkative_${agentId}`}, 'succeeded', '{}', '', now(), now() from generate_series(1, 5000)`)
  const { id: webhookId } = (
    await app.ada.call('POST', `/api/v1/clients/${clientId}/webhooks/`, { url: 'https://93.184.216.34/', events: ['agent.changed'] })
  ).body
  await db.execute(sql`
    insert into webhook_deliveries (id, client_id, webhook_id, event, payload, state)
    select gen_random_uuid(), ${clientId}, ${webhookId}, 'run.finished', jsonb_build_object('data', jsonb_build_object('run_id', told)), 'sent'
    from (select id as told from runs where session_id = ${`talkative_${agentId}`} union all select gen_random_uuid() from generate_series(1, 5000)) told`)
  expect(await app.ada.call('POST', `/api/v1/contacts/${contactId}/erase`)).toMatchObject({
    status: 200,
    body: { removed: { runs: 5001 } },
  })
  const [left] = await db.execute(sql`select count(*)::int as n from webhook_deliveries where webhook_id = ${webhookId}`)
  expect(left).toEqual({ n: 5000 })
})
