import { afterAll, beforeAll, expect, test } from 'bun:test'
import { eq, sql } from 'drizzle-orm'
import { openJournal } from '~/features/runs/journal'
import { type OwnedRun, owned } from '~/features/runs/queries/owned'
import { claimRun } from '~/features/runs/queries/runs'
import { saveStep } from '~/features/runs/queries/steps'
import { runs } from '~/features/runs/table'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
let agentId: string
beforeAll(async () => {
  app = await startApp()
  const agent = { client_id: app.ada.clientId, name: 'echo', type: 'llm', model: 'demo/echo', config: {} }
  agentId = (await app.ada.call('POST', '/api/v1/agents/', agent)).body.id
})
afterAll(() => app.close())

/** A run in the hands of another process, or of `owner`, who has yet to begin it. */
async function runOf(owner = 'another', status = 'running'): Promise<OwnedRun> {
  const { body } = await app.ada.call('POST', `/api/v1/agents/${agentId}/runs`, { message: 'hi' })
  await app.services.db.execute(sql`
    update runs set status = ${status}, finished_at = null, lease_owner = ${owner}, lease_until = now() + interval '1 hour',
      started_at = case when ${status} = 'queued' then null else started_at end
    where id = ${body.id}::uuid`)
  const [row] = await app.services.db.select(owned).from(runs).where(eq(runs.id, body.id))
  return { ...row, past: 'whole' } as OwnedRun
}
const finish = ({ id }: OwnedRun) =>
  app.services.db.execute(sql`update runs set status = 'succeeded', finished_at = now(), lease_owner = null where id = ${id}::uuid`)

/** For steps that call no model and show nothing. */
const journalOf = (run: OwnedRun) =>
  openJournal({
    db: app.services.db,
    run,
    persist: async (write) => expect(await write()).toBe(true),
    keepFile: (file) => Promise.resolve(file),
    handOver: new AbortController().signal,
    runLog: { settle: () => Promise.resolve() } as Parameters<typeof openJournal>[0]['runLog'],
    shown: {} as Parameters<typeof openJournal>[0]['shown'],
    spending: {} as Parameters<typeof openJournal>[0]['spending'],
  })
const part = { signal: new AbortController().signal, silent: true }

test('a step that was done is not done again, and with another input it is another step: the run is refused', async () => {
  const run = await runOf()
  const book = { key: 'tool:1:0:book', kind: 'tool', effect: 'unsafe', input: { seats: 1 } } as const
  let calls = 0
  const work = async () => ({ booked: ++calls })
  const first = await journalOf(run)
  expect(await first(book, part, work)).toEqual({ booked: 1 })
  expect(await first(book, part, work).catch(String)).toContain('was taken twice')
  const later = await journalOf(run)
  expect(await later(book, part, work)).toEqual({ booked: 1 })
  const changed = await journalOf(run)
  const refused = await changed({ ...book, input: { seats: 2 } }, part, work).catch((error) => error)
  expect(refused).toMatchObject({ problem: 'conflict' })
  expect(calls).toBe(1)
  await finish(run)
})

test('an earlier owner of a run writes nothing, nor does anybody once it is over', async () => {
  const run = await runOf()
  const step = { runId: run.id, key: 'value:1', kind: 'value', effect: 'read-only', inputHash: 'x', state: 'done', result: 1 } as const
  expect(await saveStep(app.services.db, { ...run, leaseToken: run.leaseToken - 1 }, step)).toBe(false)
  expect(await saveStep(app.services.db, run, step)).toBe(true)
  await finish(run)
  expect(await saveStep(app.services.db, run, { ...step, key: 'value:2' })).toBe(false)
})

test('a run waits for the one before it in its session, and whoever takes it has a newer right to it', async () => {
  const { db } = app.services
  const [before, next] = [await runOf(), await runOf('me', 'queued')]
  await db.execute(sql`update runs set session_id = ${before.sessionId} where id = ${next.id}::uuid`)
  const claim = () => claimRun(db, { id: next.id, owner: 'me', leaseSeconds: 60 })
  expect(await claim()).toBeUndefined()
  await finish(before)
  expect(await claim()).toMatchObject({ run: { id: next.id, leaseToken: next.leaseToken + 1 }, isCancelled: false })
  await finish(next)
})
