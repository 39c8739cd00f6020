import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { eq, sql } from 'drizzle-orm'
import { auditLogs } from '~/features/audit/table'
import { createAuditWorker } from '~/features/audit/worker'
import { users } from '~/features/users/table'
import { silentLog } from '~/platform/log'
import { buryLetter } from '~/platform/outbox/dead-letters'
import type { Notice } from '~/platform/outbox/streams'
import { system } from '~/platform/principal'
import { createWrite } from '~/platform/unit-of-work'
import { auditPayload, type Background, endProcess, lockTable, openBackground } from '../support/background'
import { until } from '../support/until'

setDefaultTimeout(30_000)

let world: Background
beforeAll(async () => {
  world = await openBackground()
})
afterAll(() => world.close())

/** Runs a worker in this process while `work` lasts. */
async function whileWorking(work: () => Promise<void>) {
  const stop = new AbortController()
  const { database, redis } = world
  const running = createAuditWorker({
    database,
    redis,
    log: silentLog,
    claimAfterMs: 150,
  }).run(stop.signal)
  try {
    await work()
  } finally {
    stop.abort()
    await running
  }
}

test('entries are written once each, as they were recorded, and their outbox rows are done', async () => {
  const userId = await world.addUser()
  const ids = await Promise.all(
    Array.from({ length: 60 }, () => world.requestAudit({ user_id: userId, created_at: '2026-01-02T03:04:05.678Z' })),
  )
  for (const id of [...ids, ...ids]) await world.append('audit', 'id', id)
  await whileWorking(() => until(async () => (await world.countAudits(ids)) === ids.length && (await world.lengthOf('audit')) === 0))
  const [row] = await world.db
    .select()
    .from(auditLogs)
    .where(eq(auditLogs.id, ids[0] as string))
  expect(row).toMatchObject({
    userId,
    clientId: world.clientId,
    action: 'create',
    resourceType: 'agent',
    details: { name: 'Scout' },
    ipAddress: '192.0.2.1',
  })
  expect(row?.createdAt).toEqual(new Date('2026-01-02T03:04:05.678Z'))
  expect(await world.isDone(ids[59] as string)).toBe(true)
})

test('F-14: a change that lost to another and is done again is told of once', async () => {
  const resourceId = crypto.randomUUID()
  const published: Notice[] = []
  const relay = { publish: (notices: Notice[]) => void published.push(...notices), close: async () => {} }
  let runs = 0
  await createWrite({ database: world.database, relay })(system, async ({ tx, audit, mail }) => {
    runs++
    audit({ action: 'create', resourceType: 'test', resourceId })
    mail({ template: 'welcome', user_id: resourceId })
    if (runs === 1) await tx.execute(sql`do $$ begin raise exception 'lost' using errcode = '40001'; end $$`)
  })
  const rows = await world.db.execute<{ id: string }>(
    sql`select id from outbox where payload->>'resource_id' = ${resourceId} or payload->>'user_id' = ${resourceId}`,
  )
  expect([runs, published.map(({ id }) => id).toSorted()]).toEqual([2, rows.map(({ id }) => id).toSorted()])
  expect(published.map(({ kind }) => kind).toSorted()).toEqual(['audit', 'email-bulk'])
})

test('an entry keeps the admin who acted as somebody, also when that admin is gone', async () => {
  const actor = crypto.randomUUID()
  const id = await world.requestAudit({ user_id: await world.addUser(), actor_user_id: actor })
  await world.append('audit', 'id', id)
  await whileWorking(() => until(() => world.isDone(id)))
  const [row] = await world.db.select().from(auditLogs).where(eq(auditLogs.id, id))
  expect(row?.actorUserId).toBe(actor)
})

test('an entry names its user and client also when they are gone', async () => {
  const userId = await world.addUser()
  const clientId = crypto.randomUUID()
  const id = await world.requestAudit({ user_id: userId, client_id: clientId })
  await world.db.delete(users).where(eq(users.id, userId))
  await world.append('audit', 'id', id)
  await whileWorking(() => until(() => world.isDone(id)))
  const [row] = await world.db.select().from(auditLogs).where(eq(auditLogs.id, id))
  expect(row).toMatchObject({ userId, clientId, resourceType: 'agent' })
})

describe('F-20, QUEUE-02: poison', () => {
  test('an entry that cannot be written is set aside at once, and those beside it are written', async () => {
    const poison = await world.addOutboxRow('audit', { ...auditPayload(world.clientId), user_id: 'no uuid' })
    const good = await world.requestAudit()
    await world.append('audit', 'id', poison)
    await world.append('audit', 'id', good)
    await whileWorking(async () => {
      await until(() => world.isDone(good))
      await until(async () => (await world.lengthOf('audit')) === 0)
    })
    expect(await world.deadLettersOf(poison)).toMatchObject([{ queue: 'audit', reason: 'not an audit entry', replayedAt: null }])
    expect(await world.isDone(poison)).toBe(true)
  })

  test.each([
    ['no fields we know', ['recipient', 'eve@evil.example']],
    ['no uuid', ['id', '{"id":']],
    ['a megabyte', ['id', 'x'.repeat(1_000_000)]],
    ['a NUL', ['id', 'a\0b']],
    ['more than an id', ['id', '00000000-0000-7000-8000-000000000000', 'to', 'eve@evil.example']],
    ['an id that is not in the outbox', ['id', '00000000-0000-7000-8000-000000000001']],
  ])('an entry with %s is set aside at once, and those after it are written', async (_, fields) => {
    const entryId = await world.append('audit', ...fields)
    const good = await world.requestAudit()
    await world.append('audit', 'id', good)
    await whileWorking(() => until(async () => (await world.isDone(good)) && (await world.lengthOf('audit')) === 0))
    const letters = await world.deadLettersOfEntry(entryId as string)
    expect(letters).toHaveLength(1)
  })

  test('an entry that names a mail does not end the mail', async () => {
    const { id } = await world.requestMail()
    await world.append('audit', 'id', id)
    await whileWorking(() => until(async () => (await world.lengthOf('audit')) === 0))
    expect(await world.isDone(id)).toBe(false)
  })
})

test('F-17: a worker killed between reading and acknowledging loses nothing and doubles nothing', async () => {
  const ids = await Promise.all(Array.from({ length: 25 }, () => world.requestAudit()))
  const lock = await lockTable('audit_logs')
  try {
    for (const id of ids) await world.append('audit', 'id', id)
    const victim = world.startWorker({ queues: ['audit'] })
    await until(async () => (await world.pendingOf('audit')) > 0)
    await Bun.sleep(100)
    victim.kill('SIGKILL')
    await victim.exited
  } finally {
    await lock.release()
  }
  expect(await world.countAudits(ids)).toBe(0)
  const successor = world.startWorker({ queues: ['audit'] })
  await until(async () => (await world.countAudits(ids)) === ids.length && (await world.lengthOf('audit')) === 0)
  await endProcess(successor)
})

test('a worker killed between recording and acknowledging doubles nothing', async () => {
  const id = await world.requestAudit()
  await whileWorking(async () => {
    await world.append('audit', 'id', id)
    await until(async () => (await world.isDone(id)) && (await world.lengthOf('audit')) === 0)
  })
  // What its successor finds: the entry as if nobody had acknowledged it.
  await world.append('audit', 'id', id)
  await whileWorking(() => until(async () => (await world.lengthOf('audit')) === 0))
  expect(await world.countAudits([id])).toBe(1)
  expect(await world.deadLettersOf(id)).toEqual([])
})

test('a worker of the version before, which looks into the outbox alone, sets nothing aside that stands in the log', async () => {
  const [logged, unknown] = [await world.requestAudit(), Bun.randomUUIDv7()]
  await whileWorking(async () => {
    await world.append('audit', 'id', logged)
    await until(() => world.isDone(logged))
  })
  for (const outboxId of [logged, unknown])
    await buryLetter(world.database, { kind: 'audit', outboxId, entry: {}, reason: 'no such entry was written' })
  expect(await world.deadLettersOf(logged)).toEqual([])
  expect(await world.deadLettersOf(unknown)).toHaveLength(1)
})

test('a stopping worker finishes the batch in hand', async () => {
  const id = await world.requestAudit()
  const lock = await lockTable('audit_logs')
  await world.append('audit', 'id', id)
  const worker = world.startWorker({ queues: ['audit'] })
  try {
    await until(async () => (await world.pendingOf('audit')) > 0)
    worker.kill('SIGTERM')
    await Bun.sleep(200)
  } finally {
    await lock.release()
  }
  expect(await worker.exited).toBe(0)
  expect(await world.countAudits([id])).toBe(1)
  expect(await world.lengthOf('audit')).toBe(0)
})
