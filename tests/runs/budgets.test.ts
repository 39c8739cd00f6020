import { afterAll, beforeAll, expect, test } from 'bun:test'
import { eq, sql } from 'drizzle-orm'
import { forfeitReservations, releaseReservation, reserve } from '~/features/runs/queries/budgets'
import { type OwnedRun, owned } from '~/features/runs/queries/owned'
import { saveStep } from '~/features/runs/queries/steps'
import { runs } from '~/features/runs/table'
import { startApp, type TestApp } from '../support/start-app'
import { until } from '../support/until'

/** A word that demo/echo says costs a dollar here. */

let app: TestApp
beforeAll(async () => {
  app = await startApp({
    MODEL_PRICES: '{"demo/echo": {"input": 0, "output": 1000000}}',
    RUNS_PER_CLIENT: '100',
    RUN_RECOVERY_CONCURRENCY: '100',
    RUN_MAX_TOKENS: '1000',
  })
})
afterAll(() => app.close())

const agentOf = async (config: object = {}): Promise<string> =>
  (await app.ada.call('POST', '/api/v1/agents/', { client_id: app.ada.clientId, name: 'echo', type: 'llm', model: 'demo/echo', config }))
    .body.id
const begin = (id: string, body: object = {}) => app.ada.call('POST', `/api/v1/agents/${id}/runs`, { message: 'hi', ...body })
/** As a careful client does: one database connection for all of them is a busy server, which says so. */
async function insist(id: string): Promise<void> {
  const headers = { 'idempotency-key': crypto.randomUUID() }
  for (let attempt = 0; attempt < 50; attempt++) {
    const { status } = await app.ada.call('POST', `/api/v1/agents/${id}/runs`, { message: 'hi', mode: 'background' }, headers)
    if (status === 202) return
    if (status !== 503 && status !== 409) throw new Error(`answered ${status}`)
    await Bun.sleep(50 + Math.random() * 100)
  }
  throw new Error('never accepted')
}
const limit = (scope: string, id: string, dollars: number) =>
  app.ada.call('PUT', `/api/v1/budgets/${app.ada.clientId}/${scope}/${id}`, { limit_usd: dollars })
const budgetOf = async (id: string) =>
  (await app.ada.call('GET', `/api/v1/budgets/${app.ada.clientId}`)).body.find(({ scope_id }: { scope_id: string }) => scope_id === id)
const statusesOf = async (agentId: string): Promise<Record<string, number>> => {
  const { body } = await app.ada.call('GET', `/api/v1/runs/?agent_id=${agentId}&limit=1000`)
  return Object.fromEntries(
    Map.groupBy(body as { status: string }[], ({ status }) => status)
      .entries()
      .map(([status, list]) => [status, list.length]),
  )
}

test('tokens and cost are told for a run, and summed by day, agent, model, session and run', async () => {
  const id = await agentOf()
  const { body } = await begin(id, { message: 'a b c', external_id: 'payer' })
  await begin(id)
  await begin(await agentOf(), { message: 'of another agent' })
  expect(body.usage).toMatchObject({ output_tokens: 4, cost_usd: 4 })
  expect(body.steps[0]).toMatchObject({ key: 'model:1', model: 'demo/echo', usage: { output_tokens: 4, cost_usd: 4 } })
  const sum = async (query: string) => (await app.ada.call('GET', `/api/v1/usage?agent_id=${id}&${query}`)).body
  expect(await sum('')).toMatchObject([{ key: new Date().toISOString().slice(0, 10), calls: 2, output_tokens: 6, cost_usd: 6 }])
  expect(await sum('group_by=agent')).toMatchObject([{ key: id, cost_usd: 6 }])
  expect(await sum('group_by=model')).toMatchObject([{ key: 'demo/echo', cost_usd: 6 }])
  expect(await sum('group_by=run')).toMatchObject([{ key: body.id, cost_usd: 4 }, { cost_usd: 2 }])
  expect((await sum('group_by=session')).map(({ key }: { key: string }) => key)).toContain(`payer_${id}`)
  expect(await sum('to=2020-01-01')).toEqual([])
  expect(await app.ada.call('GET', '/api/v1/usage?from=2020-02-31')).toMatchObject({ status: 422 })
  expect((await app.bob.call('GET', '/api/v1/usage')).body).toEqual([])
  expect((await app.bob.call('GET', `/api/v1/usage?client_id=${app.ada.clientId}`)).status).toBe(403)
  // What was used stays used.
  await app.ada.call('DELETE', `/api/v1/agents/${id}`)
  expect(await sum('group_by=agent')).toMatchObject([{ cost_usd: 6 }])
})

test("a budget is for what the client has: another client's agent or session is as absent as one that is nowhere", async () => {
  const id = await agentOf()
  await begin(id, { external_id: 'hers' })
  for (const [scope, scopeId] of [
    ['agent', id],
    ['session', `hers_${id}`],
    ['client', app.ada.clientId],
    ['agent', crypto.randomUUID()],
  ] as const) {
    const path = `/api/v1/budgets/${app.bob.clientId}/${scope}/${scopeId}`
    expect([scope, (await app.bob.call('PUT', path, { limit_usd: 1 })).status]).toEqual([scope, 404])
  }
  expect((await app.bob.call('GET', `/api/v1/budgets/${app.bob.clientId}`)).body).toEqual([])
})

test('64 runs at once on a budget for 10: ten are paid, not a cent more is spent, and a top-up lets the others go on', async () => {
  const id = await agentOf({ max_output_tokens: 2 })
  expect((await limit('agent', id, 20)).status).toBe(200)
  await Promise.all(Array.from({ length: 64 }, () => insist(id)))
  await until(async () => {
    const { running = 0, queued = 0 } = await statusesOf(id)
    return running + queued === 0
  }, 15_000)
  expect(await statusesOf(id)).toEqual({ succeeded: 10, waiting: 54 })
  expect(await budgetOf(id)).toMatchObject({ limit_usd: 20, spent_usd: 20, reserved_usd: 0 })
  const [waiting] = (await app.ada.call('GET', `/api/v1/runs/?agent_id=${id}&status=waiting`)).body
  expect(waiting).toMatchObject({ waiting_for: { reason: 'budget-exhausted', budgets: ['agent'] } })
  await limit('agent', id, 128)
  await until(async () => (await statusesOf(id)).succeeded === 64, 15_000)
  expect(await budgetOf(id)).toMatchObject({ spent_usd: 128, reserved_usd: 0 })
}, 40_000)

test('what is set aside and not needed lets others go on, without a top-up', async () => {
  const id = await agentOf({ max_output_tokens: 8 })
  await limit('agent', id, 20)
  await Promise.all(Array.from({ length: 12 }, () => insist(id)))
  // Each may cost 8 and costs 2: when 6 are left, nobody can be let in any more.
  await until(async () => {
    const { running = 0, succeeded = 0 } = await statusesOf(id)
    return running === 0 && succeeded === 7
  }, 15_000)
  expect(await budgetOf(id)).toMatchObject({ spent_usd: 14, reserved_usd: 0 })
}, 30_000)

test('a call falls under the budgets of its client, agent and session, and needs all of them', async () => {
  const id = await agentOf({ max_output_tokens: 4 })
  await begin(id, { external_id: 'three' })
  const session = `three_${id}`
  await Promise.all([limit('client', app.ada.clientId, 1000), limit('agent', id, 1000), limit('session', session, 4)])
  expect((await begin(id, { external_id: 'three' })).body.status).toBe('succeeded')
  const refused = await begin(id, { external_id: 'three' })
  expect(refused.body).toMatchObject({ status: 'waiting', waiting_for: { budgets: ['session'] } })
  expect([await budgetOf(app.ada.clientId), await budgetOf(id), await budgetOf(session)]).toMatchObject([
    { spent_usd: 2, reserved_usd: 0 },
    { spent_usd: 2, reserved_usd: 0 },
    { spent_usd: 2, reserved_usd: 0 },
  ])
  await app.ada.call('DELETE', `/api/v1/budgets/${app.ada.clientId}/session/${session}`)
  await until(async () => (await app.ada.call('GET', `/api/v1/runs/${refused.body.id}`)).body.status === 'succeeded')
  await app.ada.call('DELETE', `/api/v1/budgets/${app.ada.clientId}/client/${app.ada.clientId}`)
  expect((await limit('agent', crypto.randomUUID(), 1)).status).toBe(404)
  expect((await limit('client', crypto.randomUUID(), 1)).status).toBe(404)
  expect((await limit('agent', id, -1)).status).toBe(422)
})

test('a call that fails before a word costs nothing, and a run that is cancelled in the middle costs what it may have', async () => {
  const id = await agentOf({ max_output_tokens: 8 })
  await limit('agent', id, 100)
  expect((await begin(id, { message: '/fail' })).status).toBe(502)
  expect(await budgetOf(id)).toMatchObject({ spent_usd: 0, reserved_usd: 0 })
  const { body } = await begin(id, { message: '/slow 100\none two three four', mode: 'background' })
  await until(async () => (await budgetOf(id)).reserved_usd === 8)
  await Bun.sleep(250)
  await app.ada.call('POST', `/api/v1/runs/${body.id}/cancel`)
  await until(async () => (await budgetOf(id)).reserved_usd === 0)
  expect((await budgetOf(id)).spent_usd).toBe(8)
})

test('money that a run set aside before a crash counts as spent, and an earlier owner of the run moves none of it', async () => {
  const id = await agentOf()
  const { body } = await begin(id)
  await limit('agent', id, 10)
  const { db } = app.services
  // As if it were under way, in the hands of another process.
  await db.execute(sql`
    update runs set status = 'running', finished_at = null, lease_owner = 'another', lease_token = 7, lease_until = now() + interval '1 hour'
    where id = ${body.id}::uuid`)
  const [row] = await db.select(owned).from(runs).where(eq(runs.id, body.id))
  const run = { ...row, past: 'whole' } as OwnedRun
  const earlier = { ...run, leaseToken: 6 }
  const step = { stepKey: 'model:9', amountNanos: 3e9 }
  const state = async () => {
    const { spent_usd, reserved_usd } = await budgetOf(id)
    return [spent_usd, reserved_usd]
  }
  expect(await reserve(db, earlier, step)).toEqual({ verdict: 'taken-over' })
  expect(await reserve(db, run, step)).toEqual({ verdict: 'reserved' })
  expect(await state()).toEqual([0, 3])
  // Its successor asks for the same step again.
  expect(await reserve(db, run, step)).toEqual({ verdict: 'reserved' })
  expect(await state()).toEqual([3, 3])

  await releaseReservation(db, earlier, { stepKey: step.stepKey, spentNanos: 3e9 })
  const usage = { inputTokens: 1, outputTokens: 1, cachedInputTokens: 0, reasoningTokens: 0 }
  const charge = { model: 'demo/echo', usage, costNanos: 1e9, isReserved: true }
  const done = { runId: run.id, key: step.stepKey, kind: 'model', effect: 'read-only', inputHash: 'x', state: 'done', result: {} } as const
  expect(await saveStep(db, earlier, done, charge)).toBe(false)
  expect(await state()).toEqual([3, 3])
  expect(await saveStep(db, run, done, charge)).toBe(true)
  expect(await state()).toEqual([4, 0])
  // Cut off for good in the middle of another call.
  expect(await reserve(db, run, { stepKey: 'model:10', amountNanos: 2e9 })).toEqual({ verdict: 'reserved' })
  await forfeitReservations(db, run)
  expect(await state()).toEqual([6, 0])
  await db.execute(sql`update runs set status = 'succeeded', finished_at = now(), lease_owner = null where id = ${run.id}::uuid`)
})

test('COST-03: a run that has used its tokens is stopped', async () => {
  const id = await agentOf()
  const long = 'word '.repeat(1200)
  const loop = await app.ada.call('POST', '/api/v1/agents/', {
    client_id: app.ada.clientId,
    name: 'loop',
    type: 'loop',
    config: { sub_agents: [id], max_iterations: 5 },
  })
  const stopped = await begin(loop.body.id, { message: long })
  expect(stopped.status).toBe(402)
  expect(stopped.body.type).toEndWith('/budget-exhausted')
})
