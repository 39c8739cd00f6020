import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { silentLog } from '~/platform/log'
import { joinGroup } from '~/platform/outbox/consumer-group'
import { buryLetter } from '~/platform/outbox/dead-letters'
import { GROUP, streamKey } from '~/platform/outbox/streams'
import { createSweeper } from '~/platform/outbox/sweeper'
import { createStreamWorker, type Handle } from '~/platform/stream-worker'
import { type Background, openBackground } from '../support/background'
import { until } from '../support/until'

setDefaultTimeout(30_000)

let world: Background
beforeAll(async () => {
  world = await openBackground()
})
afterAll(() => world.close())

const startWorker = (handle: Handle, claimAfterMs: number) => {
  const { redis, database } = world
  const stop = new AbortController()
  const worker = createStreamWorker({
    redis,
    database,
    log: silentLog,
    kind: 'webhook',
    handle,
    batchSize: 1,
    concurrency: 1,
    claimAfterMs,
  })
  const running = worker.run(stop.signal)
  return async () => {
    stop.abort()
    await running
  }
}

test('what is done is kept for a day, and as long as somebody may want it done again', async () => {
  const { db, database, redis } = world
  const row = async (doneHoursAgo: number | null) => {
    const id = await world.addOutboxRow('webhook', {})
    if (doneHoursAgo !== null)
      await db.execute(sql`update outbox set done_at = now() - ${doneHoursAgo} * interval '1 hour' where id = ${id}`)
    return id
  }
  const letterOf = async (id: string, replayed: boolean) => {
    await buryLetter(database, { kind: 'webhook', outboxId: id, entry: {}, reason: 'failed' })
    if (replayed) await db.execute(sql`update dead_letters set replayed_at = now() where outbox_id = ${id}`)
  }
  const rows = { old: await row(25), young: await row(23), undone: await row(null), set_aside: await row(25), replayed: await row(25) }
  await letterOf(rows.set_aside, false)
  await letterOf(rows.replayed, true)
  await createSweeper({ database, redis, log: silentLog }).sweep()
  const left = await db.execute<{ id: string }>(sql`select id from outbox where id = any(${sql.param(Object.values(rows))}::uuid[])`)
  const names = Object.entries(rows).filter(([, id]) => left.some((kept) => kept.id === id))
  expect(names.map(([name]) => name)).toEqual(['young', 'undone', 'set_aside'])
})

test('KEY-04: what is set aside tells no secret that a failure repeated', async () => {
  const id = await world.addOutboxRow('webhook', {})
  await buryLetter(world.database, {
    kind: 'webhook',
    outboxId: id,
    entry: {},
    reason: 'refused: Authorization: Bearer sk-abcdefghijklmnop',
  })
  const [letter] = await world.deadLettersOf(id)
  expect(letter?.reason).toStartWith('refused: ')
  expect(letter?.reason).not.toContain('abcdefghijklmnop')
})

test('F-20: an entry that has killed its workers is set aside, and not tried once more', async () => {
  const { redis } = world
  const id = await world.addOutboxRow('webhook', {})
  const stream = streamKey(redis, 'webhook')
  const dead = joinGroup(redis, 'webhook', 'dead')
  await dead.ensure()
  const entryId = String(await world.append('webhook', 'id', id))
  await until(async () => (await dead.read(1, 100).catch(() => [])).length > 0)
  dead.disconnect()
  await redis.run((connection) => connection.xclaim(stream, GROUP, 'dead', 0, entryId, 'IDLE', 60_000, 'RETRYCOUNT', 5))
  const tried: string[] = []
  const stop = startWorker(async (ids) => {
    tried.push(...ids)
    return []
  }, 500)
  await until(async () => (await world.lengthOf('webhook')) === 0)
  await stop()
  expect(tried).toEqual([])
  expect(await world.deadLettersOf(id)).toEqual([expect.objectContaining({ reason: expect.stringContaining('taken over 5 times') })])
  expect(await world.isDone(id)).toBe(true)
})

test('who works on an entry for long keeps it: nobody takes it over', async () => {
  const id = await world.addOutboxRow('webhook', {})
  let calls = 0
  const slowly: Handle = async () => {
    calls++
    await Bun.sleep(2000)
    return []
  }
  const stops = [startWorker(slowly, 600), startWorker(slowly, 600)]
  await world.append('webhook', 'id', id)
  await until(async () => calls > 0 && (await world.lengthOf('webhook')) === 0)
  for (const stop of stops) await stop()
  expect(calls).toBe(1)
})
