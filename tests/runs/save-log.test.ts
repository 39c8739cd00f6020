import { afterAll, beforeAll, expect, spyOn, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import type { LogEvent } from '~/features/runs/log-event'
import type { OwnedRun } from '~/features/runs/queries/owned'
import { createSaveLog } from '~/features/runs/save-log'
import { Connection } from '~/platform/db/connection'
import { type Person, startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app.close())

const LEASE = 7

/** A run that waits for somebody, and is in our hands all the same. */
async function ownRun({ call, clientId }: Person): Promise<OwnedRun> {
  const agent = await call('POST', '/api/v1/agents/', { client_id: clientId, name: 'echo', type: 'llm', model: 'demo/echo', config: {} })
  const contact = crypto.randomUUID()
  expect((await call('POST', `/api/v1/chat/${agent.body.id}/${contact}`, { message: 'Hello' })).status).toBe(200)
  const [run] = await app.services.db.execute<{ id: string; sessionId: string }>(sql`
    update runs set status = 'waiting', finished_at = null, lease_token = ${LEASE} where agent_id = ${agent.body.id}
    returning id, session_id as "sessionId"`)
  if (run === undefined) throw new Error('there is no run')
  return {
    ...run,
    clientId,
    agentId: agent.body.id,
    leaseToken: LEASE,
    input: { text: 'Hello', files: [] },
    traceId: '',
    createdAt: new Date(),
    restMs: 60_000,
    past: 'none' as const,
  }
}

const entries = (...seqs: number[]): LogEvent[] => seqs.map((seq) => ({ seq, type: 'text-delta', data: { text: `piece ${seq}` } }))

/** Behind what the run itself has said. */
const savedOf = async ({ id }: OwnedRun) =>
  (
    await app.services.db.execute<{ events: LogEvent[] }>(
      sql`select events from run_events where run_id = ${id} and first_seq > 100 order by first_seq`,
    )
  ).flatMap(({ events }) => events)

test('chunks that come at once share a statement for each client; a run that somebody else has holds up none of the others', async () => {
  const [ours, lost, alien] = [await ownRun(app.ada), await ownRun(app.ada), await ownRun(app.bob)]
  const save = createSaveLog(app.services.db)
  const sent = spyOn(Connection.prototype, 'run')
  const saveAll = () =>
    Promise.all([
      save({ run: ours, entries: entries(101, 102) }),
      save({ run: { ...lost, leaseToken: LEASE - 1 }, entries: entries(101) }),
      save({ run: alien, entries: entries(101) }),
    ])
  try {
    expect(await saveAll()).toEqual([true, false, true])
    expect(sent.mock.calls.filter(([text]) => text.includes('jsonb_to_recordset'))).toHaveLength(2)
  } finally {
    sent.mockRestore()
  }
  // As after an answer that was lost on its way.
  expect(await saveAll()).toEqual([true, false, true])
  expect(await savedOf(ours)).toEqual(entries(101, 102))
  expect(await savedOf(lost)).toEqual([])
  expect(await savedOf(alien)).toEqual(entries(101))
})

test('what a chunk may not hold in PostgreSQL is replaced, and the chunks beside it are as they were', async () => {
  const [odd, plain] = [await ownRun(app.ada), await ownRun(app.ada)]
  const save = createSaveLog(app.services.db)
  const said: LogEvent[] = [{ seq: 101, type: 'text-delta', data: { text: 'a\u0000b\ud800' } }]
  expect(await Promise.all([save({ run: odd, entries: said }), save({ run: plain, entries: entries(101) })])).toEqual([true, true])
  expect(await savedOf(odd)).toEqual([{ seq: 101, type: 'text-delta', data: { text: 'a\ufffdb\ufffd' } }])
  expect(await savedOf(plain)).toEqual(entries(101))
})
