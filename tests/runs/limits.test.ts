import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startApp, type TestApp } from '../support/start-app'

const MOST = 24
let app: TestApp
beforeAll(async () => {
  // Nobody takes up runs of the background: what is accepted stays.
  app = await startApp({ RUNS_PER_CLIENT: String(MOST), RUN_RECOVERY_CONCURRENCY: '1', DATABASE_RLS: 'enforce' })
})
afterAll(() => app.close())

test('COST-02: of many runs that a client begins at the same moment, exactly as many as it may have are accepted', async () => {
  const { body: agent } = await app.ada.call('POST', '/api/v1/agents/', {
    client_id: app.ada.clientId,
    name: 'sleeper',
    type: 'llm',
    model: 'demo/echo',
    config: {},
  })
  /** A busy server says so, and is asked again, as a careful client does it. */
  const begin = async (): Promise<number> => {
    const key = { 'idempotency-key': crypto.randomUUID() }
    const run = { message: `/slow 10000\n${'word '.repeat(50)}`, mode: 'background' }
    for (let attempt = 0; attempt < 100; attempt++) {
      const { status, body, headers } = await app.ada.call('POST', `/api/v1/agents/${agent.id}/runs`, run, key)
      if (status !== 503 && status !== 409) {
        if (status === 429)
          expect({ detail: body.detail, wait: headers.get('retry-after') }).toEqual({
            detail: 'This client has too many runs at once.',
            wait: '1',
          })
        return status
      }
      await Bun.sleep(20 + (attempt % 5) * 10)
    }
    throw new Error('never accepted')
  }
  const statuses = await Promise.all(Array.from({ length: 3 * MOST }, begin))
  const counts = Object.fromEntries([...Map.groupBy(statuses, String)].map(([status, list]) => [status, list.length]))
  expect(counts).toEqual({ 202: MOST, 429: 2 * MOST })
  const { body: active } = await app.ada.call('GET', `/api/v1/runs/?agent_id=${agent.id}&limit=1000`)
  expect(active).toHaveLength(MOST)
}, 40_000)
