import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { EVENTS } from '~/platform/notification'
import { mailsAskedBy } from '../support/outbox'
import { startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

let app: TestApp
let everything: string
beforeAll(async () => {
  app = await startApp({
    // A word that demo/echo says costs a dollar here.
    MODEL_PRICES: '{"demo/echo": {"input": 0, "output": 1000000}}',
    OUTBOUND_ALLOW: '127.0.0.1',
    DATABASE_RLS: 'enforce',
  })
  everything = await subscribe([...EVENTS])
})
afterAll(() => app.close())

const hooks = () => `/api/v1/clients/${app.ada.clientId}/webhooks`
const subscribe = async (events: string[]): Promise<string> =>
  (await app.ada.call('POST', hooks(), { url: 'http://127.0.0.1/hook', events })).body.id
const agentOf = async (config: object = {}): Promise<string> =>
  (await app.ada.call('POST', '/api/v1/agents/', { client_id: app.ada.clientId, name: 'echo', type: 'llm', model: 'demo/echo', config }))
    .body.id
const begin = async (id: string, body: object) => (await app.ada.call('POST', `/api/v1/agents/${id}/runs`, body)).body
const limit = (scope: string, id: string, dollars: number) =>
  app.ada.call('PUT', `/api/v1/budgets/${app.ada.clientId}/${scope}/${id}`, { limit_usd: dollars })

interface Told {
  event: string
  payload: { type: string; timestamp: string; data: Record<string, unknown> }
}
/** What the webhook for everything was told of an agent, oldest first. */
const toldOf = async (agentId: string, event: string): Promise<Told[]> => {
  const { body } = await app.ada.call('GET', `${hooks()}/${everything}/deliveries?limit=1000`)
  return (body as Told[])
    .filter((delivery) => delivery.event === event && JSON.stringify(delivery.payload.data).includes(agentId))
    .toReversed()
}

test('a run that ended is told to whoever subscribed, with its cost and without a word of what was said', async () => {
  const narrow = await subscribe(['run.failed'])
  const id = await agentOf()
  const run = (await begin(id, { message: 'xylophone', external_id: 'teller' })) as { id: string }
  const [finished, ...more] = await toldOf(id, 'run.finished')
  expect(more).toEqual([])
  expect(finished?.payload).toMatchObject({
    type: 'run.finished',
    data: { run_id: run.id, agent_id: id, session_id: `teller_${id}`, status: 'succeeded', cost_usd: 2, error: null },
  })
  expect(finished?.payload.timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  expect(JSON.stringify(finished)).not.toContain('xylophone')
  await begin(id, { message: '/fail\nxylophone' })
  const failed = await toldOf(id, 'run.failed')
  expect(failed).toMatchObject([{ payload: { data: { agent_id: id, status: 'failed', error: 'upstream-error' } } }])
  expect(JSON.stringify(failed)).not.toContain('xylophone')
  // Once for each webhook that wants it, with the outbox row that the sweeper publishes.
  const rows = await app.services.db.execute<{ events: string[] }>(sql`
    select array_agg(d.event order by d.event) as events from webhook_deliveries d join outbox o using (id)
    where d.webhook_id = ${narrow} and o.kind = 'webhook' and o.done_at is null`)
  expect(rows[0]?.events).toEqual(['run.failed'])
  await app.ada.call('DELETE', `${hooks()}/${narrow}`)
})

test('a run that is taken from its process, and ended by both, is told once; a cancelled one is nobody else’s business', async () => {
  const id = await agentOf()
  const run = await begin(id, { message: '/slow 60\none two three four five', mode: 'background' })
  const read = async () => (await app.ada.call('GET', `/api/v1/runs/${run.id}`)).body
  await until(async () => (await read()).status === 'running')
  await app.services.db.execute(sql`update runs set lease_until = now(), lease_owner = 'dead' where id = ${run.id}`)
  await until(async () => (await read()).status === 'succeeded')
  expect(await toldOf(id, 'run.finished')).toHaveLength(1)
  const cancelled = await begin(id, { message: '/slow 60\none two three four five', mode: 'background' })
  await app.ada.call('POST', `/api/v1/runs/${cancelled.id}/cancel`)
  await until(async () => (await app.ada.call('GET', `/api/v1/runs/${cancelled.id}`)).body.status === 'cancelled')
  expect([await toldOf(id, 'run.finished'), await toldOf(id, 'run.failed')]).toMatchObject([{ length: 1 }, { length: 0 }])
})

test('a tool that wants consent is told of with its name, not with its arguments', async () => {
  const tool = { name: 'book', method: 'POST', endpoint: 'http://127.0.0.1:1/book', description: 'Books', require_approval: true }
  const id = await agentOf({ custom_tools: { http_tools: [tool] } })
  const run = await begin(id, { message: '/tool book {"seats": 4711}' })
  const wanted = await toldOf(id, 'approval.wanted')
  expect(wanted).toMatchObject([{ payload: { data: { run_id: run.id, agent_id: id, tool: 'book' } } }])
  expect(JSON.stringify(wanted)).not.toContain('4711')
  const listed = await app.ada.call('GET', `/api/v1/approvals/?run_id=${run.id}`)
  expect(listed.body).toMatchObject([{ id: wanted[0]?.payload.data.approval_id }])
  expect(listed.headers.get('x-total-count')).toBe('1')
})

test('a budget is told of when four fifths are spent or a call is refused, once for each limit, also to the owners by mail', async () => {
  const id = await agentOf({ max_output_tokens: 2 })
  await limit('agent', id, 11)
  const reached = async () => (await toldOf(id, 'budget.reached')).map(({ payload }) => payload.data)
  const spend = () => begin(id, { message: 'hi' })
  for (let run = 0; run < 4; run++) await spend()
  expect(await reached()).toEqual([])
  await spend()
  expect(await reached()).toMatchObject([{ scope: 'agent', scope_id: id, limit_usd: 11, spent_usd: 10 }])
  // Refused: it is known already.
  expect((await spend()).status).toBe('waiting')
  expect(await reached()).toHaveLength(1)
  await limit('agent', id, 100)
  await until(async () => (await app.ada.call('GET', `/api/v1/runs/?agent_id=${id}&status=waiting`)).body.length === 0)
  expect(await reached()).toHaveLength(1)
  // Not nearly spent, and too little for a call all the same.
  const poor = await agentOf({ max_output_tokens: 8 })
  await limit('agent', poor, 7)
  await begin(poor, { message: 'hi' })
  expect(await toldOf(poor, 'budget.reached')).toMatchObject([{ payload: { data: { limit_usd: 7, spent_usd: 0 } } }])
  await limit('agent', poor, 7.5)
  await until(async () => (await toldOf(poor, 'budget.reached')).length === 2)
  const mails = (await mailsAskedBy(app)).filter(({ template }) => template === 'budget-reached')
  const about = (spent_usd: number, limit_usd: number) => ({ template: 'budget-reached', user_id: app.ada.userId, spent_usd, limit_usd })
  expect(mails).toHaveLength(3)
  expect(mails).toEqual(expect.arrayContaining([about(10, 11), about(0, 7), about(0, 7.5)]))
  const [budget] = (await app.ada.call('GET', `/api/v1/budgets/${app.ada.clientId}`)).body.filter(
    ({ scope_id }: { scope_id: string }) => scope_id === poor,
  )
  expect(budget.reached_at).not.toBeNull()
})

test('a tenant cannot tell in the name of another', async () => {
  const rows = await app.services.db.execute<{ may: boolean }>(
    sql`select has_function_privilege('evo_tenant', 'evo_tell(uuid, text, jsonb)', 'execute') as may`,
  )
  expect(rows[0]?.may).toBe(false)
})
