import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { chainOf, type Entry, GENESIS, type Link, linkEntry } from '~/features/audit/chain'
import { parseEntry } from '~/features/audit/entry'
import { lockHeads, moveHeads, moveToLog } from '~/features/audit/queries/append'
import { makePartition } from '~/features/audit/queries/partitions'
import { erasePersonal } from '~/features/audit/queries/read'
import { createAuditUpkeep } from '~/features/audit/upkeep'
import { verifyChain } from '~/features/audit/verify'
import { createAuditWorker } from '~/features/audit/worker'
import { silentLog } from '~/platform/log'
import { auditPayload, type Background, openBackground } from '../support/background'
import { until } from '../support/until'

setDefaultTimeout(30_000)

let world: Background
beforeAll(async () => {
  world = await openBackground()
})
afterAll(() => world.close())

const db = () => world.db
const verify = (clientId: string | null, options = {}) => verifyChain(db(), { clientId, ...options })

/** Entries of a client, through `workers` workers at once; their ids in the order in which they happened. */
async function record(clientId: string | null, count: number, workers = 1, details: Record<string, unknown> = { name: 'Scout' }) {
  const ids: string[] = []
  for (let i = 0; i < count; i++) ids.push(await world.requestAudit({ client_id: clientId, details: { ...details, i } }))
  const stop = new AbortController()
  const { database, redis } = world
  const running = Array.from({ length: workers }, () =>
    createAuditWorker({ database, redis, log: silentLog, batchSize: 7, claimAfterMs: 500 }).run(stop.signal),
  )
  for (const id of ids.toReversed()) await world.append('audit', 'id', id)
  await until(async () => (await world.lengthOf('audit')) === 0 && (await world.countAudits(ids)) === count)
  stop.abort()
  await Promise.all(running)
  return ids
}

test('each client has a chain without gaps, in the order in which it happened, with several workers and entries that come in disorder', async () => {
  const [a, b] = [crypto.randomUUID(), crypto.randomUUID()]
  const [ofA, ofB] = await Promise.all([record(a, 40, 2), record(b, 25, 2)])
  for (const [client, ids] of [
    [a, ofA],
    [b, ofB],
  ] as const) {
    const rows = await db().execute<{ id: string; seq: number }>(
      sql`select id, seq from audit_logs where chain_id = ${client} order by seq`,
    )
    expect(rows.map(({ seq }) => seq)).toEqual(ids.map((_, index) => index + 1))
    expect(rows.map(({ id }) => id)).toEqual(ids.toSorted())
    expect(await verify(client)).toMatchObject({ valid: true, complete: true, rows: ids.length, verified_to: ids.length, faults: [] })
  }
})

test('a large batch is shared by transactions of different clients, and each chain is as whole as of a small one', async () => {
  const clients = [...Array.from({ length: 5 }, () => crypto.randomUUID()), null]
  const before = (await verify(null)).verified_to
  const ids = new Map<string | null, string[]>(clients.map((client) => [client, []]))
  for (let i = 0; i < 240; i++) {
    const client = clients[i % clients.length] ?? null
    ids.get(client)?.push(await world.addOutboxRow('audit', { ...auditPayload(client) }, client))
  }
  const all = [...ids.values()].flat()
  const forged = Bun.randomUUIDv7()
  // Entries of all clients, in disorder and some of them twice, wait as one batch before any worker comes.
  for (const id of [...all.toSorted().toReversed(), forged, ...all.slice(0, 30)]) await world.append('audit', 'id', id)
  const { database, redis } = world
  const stop = new AbortController()
  const running = Array.from({ length: 2 }, () =>
    createAuditWorker({ database, redis, log: silentLog, claimAfterMs: 500 }).run(stop.signal),
  )
  await until(async () => (await world.lengthOf('audit')) === 0)
  stop.abort()
  await Promise.all(running)
  expect(await world.countAudits(all)).toBe(all.length)
  for (const [client, ofClient] of ids) {
    const after = client === null ? before : 0
    const chain = sql`chain_id = ${chainOf(client)} and seq > ${after}`
    const rows = await db().execute<{ id: string }>(sql`select id from audit_logs where ${chain} order by seq`)
    expect(rows.map(({ id }) => id)).toEqual(ofClient.toSorted())
    expect(await verify(client)).toMatchObject({ valid: true, verified_to: after + ofClient.length })
  }
  expect(await world.deadLettersOf(forged)).toMatchObject([{ reason: 'no such entry was written' }])
  for (const id of all.slice(0, 30)) expect(await world.deadLettersOf(id)).toEqual([])
})

test('what waits is written from its beginning, in as many transactions as it takes, before the entry that a worker was told of', async () => {
  const { database, redis } = world
  const clients = [crypto.randomUUID(), crypto.randomUUID()]
  const ids = new Map<string, string[]>(clients.map((client) => [client, []]))
  for (let i = 0; i < 24; i++)
    for (const client of clients) ids.get(client)?.push(await world.addOutboxRow('audit', { ...auditPayload(client) }, client))
  const poison = await world.addOutboxRow('audit', { ...auditPayload(null), action: 1 }, clients[0])
  const [first = '', second = ''] = clients.map((client) => ids.get(client)?.at(-1))
  for (const id of [second, poison, first]) await world.append('audit', 'id', id)
  const stop = new AbortController()
  const running = createAuditWorker({ database, redis, log: silentLog, alongside: 2 }).run(stop.signal)
  await until(async () => (await world.lengthOf('audit')) === 0)
  stop.abort()
  await running
  for (const [client, ofClient] of ids) {
    const rows = await db().execute<{ id: string }>(sql`select id from audit_logs where chain_id = ${client} order by seq`)
    expect(rows.map(({ id }) => id)).toEqual(ofClient)
  }
  expect(await world.deadLettersOf(poison)).toMatchObject([{ reason: 'not an audit entry' }])
})

test('a client of which nothing was written has an empty chain', async () => {
  expect(await verify(crypto.randomUUID())).toMatchObject({ valid: true, complete: true, rows: 0, verified_to: 0, head: { seq: 0 } })
})

test('a long chain is verified in parts', async () => {
  const client = crypto.randomUUID()
  await record(client, 12)
  const first = await verify(client, { maxRows: 5 })
  expect(first).toMatchObject({ valid: true, complete: false, rows: 5, verified_to: 5 })
  const second = await verify(client, { maxRows: 5, after: 5 })
  expect(second).toMatchObject({ valid: true, complete: false, rows: 5, verified_to: 10 })
  expect(await verify(client, { maxRows: 5, after: 10 })).toMatchObject({ valid: true, complete: true, rows: 2, verified_to: 12 })
})

describe('whatever is done to a row is found', () => {
  let client: string
  beforeEach(async () => {
    client = crypto.randomUUID()
    await record(client, 6, 1, { text: 'ünï "quoted" 🙂', nested: { b: [1.5, null, true], a: -0 }, big: 1e21 })
    expect(await verify(client)).toMatchObject({ valid: true, rows: 6 })
  })
  const row = (seq: number) => sql`chain_id = ${client} and seq = ${seq}`

  test.each<[string, string]>([
    ['action', "'delete'"],
    ['user_id', 'gen_random_uuid()'],
    ['actor_user_id', 'gen_random_uuid()'],
    ['client_id', 'gen_random_uuid()'],
    ['resource_type', "'key'"],
    ['resource_id', "'another'"],
    ['details', `'{"name":"Eve"}'`],
    ['details', 'null'],
    ['ip_address', "'198.51.100.7'"],
    ['user_agent', 'null'],
    ['trace_id', 'null'],
    ['created_at', "created_at + interval '1 microsecond'"],
    ['recorded_at', "recorded_at + interval '1 microsecond'"],
    ['salt', 'null'],
    ['hash', "decode(repeat('00', 32), 'hex')"],
    ['prev_hash', "decode(repeat('00', 32), 'hex')"],
    ['personal_hash', "decode(repeat('00', 32), 'hex')"],
    ['erased_at', 'now()'],
  ])('%s set to %s', async (column, value) => {
    await db().execute(sql`update audit_logs set ${sql.identifier(column)} = ${sql.raw(value)} where ${row(3)}`)
    const found = await verify(client)
    expect(found.valid).toBe(false)
    expect(found.faults.every(({ seq }) => seq === 3 || (seq === 4 && column === 'hash'))).toBe(true)
    expect(found.faults.map(({ kind }) => kind)).toContain('altered')
  })

  test('a row taken from the middle', async () => {
    await db().execute(sql`delete from audit_logs where ${row(3)}`)
    expect(await verify(client)).toMatchObject({ valid: false, rows: 5, faults: [{ seq: 4, kind: 'missing' }] })
  })

  test('the first row', async () => {
    await db().execute(sql`delete from audit_logs where ${row(1)}`)
    expect((await verify(client)).faults).toMatchObject([{ seq: 2, kind: 'missing' }])
  })

  test('the last rows', async () => {
    await db().execute(sql`delete from audit_logs where chain_id = ${client} and seq > 4`)
    expect(await verify(client)).toMatchObject({ valid: false, faults: [{ seq: 5, kind: 'end-removed' }] })
  })

  test('all rows', async () => {
    await db().execute(sql`delete from audit_logs where chain_id = ${client}`)
    expect(await verify(client)).toMatchObject({ valid: false, faults: [{ seq: 1, kind: 'end-removed' }] })
  })

  test('two rows that changed places', async () => {
    await db().execute(sql`update audit_logs set seq = 100 where ${row(3)}`)
    await db().execute(sql`update audit_logs set seq = 3 where ${row(4)}`)
    await db().execute(sql`update audit_logs set seq = 4 where ${row(100)}`)
    const { valid, faults } = await verify(client)
    expect(valid).toBe(false)
    expect(new Set(faults.map(({ seq }) => seq))).toEqual(new Set([3, 4, 5]))
  })

  test('a row that was made up, behind the end and in between', async () => {
    const copy = (seq: number, from: number) =>
      db().execute(sql`
        insert into audit_logs select gen_random_uuid(), chain_id, ${seq}::bigint, client_id, user_id, actor_user_id, action, resource_type, trace_id,
          created_at, recorded_at + interval '1 second', resource_id, details, ip_address, user_agent, salt, personal_hash, erased_at, prev_hash, hash
        from audit_logs where ${row(from)}`)
    await copy(7, 6)
    expect((await verify(client)).faults).toMatchObject([{ seq: 7, kind: 'surplus' }])
    await copy(3, 3)
    expect((await verify(client)).faults.some(({ seq }) => seq === 3)).toBe(true)
  })

  test('a chain that was written anew as a whole, by a hash noted down before', async () => {
    const { head } = await verify(client)
    expect((await verify(client, { anchor: head })).valid).toBe(true)
    expect((await verify(client, { anchor: { seq: head.seq, hash: 'f'.repeat(64) } })).faults).toMatchObject([
      { seq: 6, kind: 'anchor-differs' },
    ])
  })

  test('an end that says another hash than the last row', async () => {
    await db().execute(sql`update audit_chains set hash = decode(repeat('ff', 32), 'hex') where id = ${client}`)
    expect(await verify(client)).toMatchObject({ valid: false, faults: [{ seq: 6, kind: 'broken-link', id: null }] })
  })

  test('an end that is gone together with all trace of it, by the head noted down before', async () => {
    const { head } = await verify(client)
    await db().execute(sql`delete from audit_logs where ${row(6)}`)
    await db().execute(sql`
      update audit_chains set (seq, hash) = (select seq, hash from audit_logs where ${row(5)}) where id = ${client}`)
    expect(await verify(client)).toMatchObject({ valid: true, rows: 5 })
    expect(await verify(client, { anchor: head })).toMatchObject({ valid: false, faults: [{ seq: 6, kind: 'end-removed', id: null }] })
  })
})

test('what is erased is gone, and the chain is whole', async () => {
  const client = crypto.randomUUID()
  const userId = await world.addUser()
  await record(client, 3)
  const ids = [await world.requestAudit({ client_id: client, user_id: userId, details: { phone: '+49 30 1234' } })]
  await record(client, 2)
  expect(await world.countAudits(ids)).toBe(1)
  expect(await world.database.transaction((tx) => erasePersonal(tx, { user_id: userId }))).toBe(1)
  const [row] = await db().execute(sql`select * from audit_logs where id = ${ids[0]}`)
  expect(JSON.stringify(row)).not.toMatch(/\+49 30|192\.0\.2/)
  expect(await verify(client)).toMatchObject({ valid: true, rows: 6, erased: 1 })
  for (const column of ['resource_id', 'ip_address', 'user_agent', 'details'].map((name) => sql.identifier(name))) {
    await db().execute(sql`update audit_logs set ${column} = '{}' where id = ${ids[0]}`)
    expect(await verify(client)).toMatchObject({ valid: false, faults: [{ kind: 'altered' }] })
    await db().execute(sql`update audit_logs set ${column} = null where id = ${ids[0]}`)
  }
})

test('what waits to be written is erased too, and nothing else that waits', async () => {
  const client = crypto.randomUUID()
  const [userId, otherId] = [await world.addUser(), await world.addUser()]
  const request = (user_id: string) => world.requestAudit({ client_id: client, user_id, details: { phone: '+49 30 1234' } })
  const ids = [await request(userId), await request(otherId)]
  expect(await world.database.transaction((tx) => erasePersonal(tx, { user_id: userId }))).toBe(1)
  await record(client, 1)
  const rows = await db().execute(
    sql`select user_id, details, ip_address from audit_logs where id = any(${sql.param(ids)}::uuid[]) order by id`,
  )
  expect(rows.map((row) => ({ ...row }))).toEqual([
    { user_id: userId, details: null, ip_address: null },
    { user_id: otherId, details: { phone: '+49 30 1234' }, ip_address: expect.any(String) },
  ])
  expect(await verify(client)).toMatchObject({ valid: true, rows: 3 })
})

test('partitions are made ahead; the oldest goes with the retention, and what is left of a chain can still be verified', async () => {
  const client = crypto.randomUUID()
  const { database } = world
  await createAuditUpkeep({ database, log: silentLog, retentionMonths: 0 }).round()
  await recordLongAgo(client, 2)
  await record(client, 2)
  expect(await verify(client)).toMatchObject({ valid: true, first_seq: 1, rows: 4 })
  const { dropped } = await createAuditUpkeep({ database, log: silentLog, retentionMonths: 1 }).round()
  expect(dropped).toEqual(['2020-01'])
  expect(await verify(client)).toMatchObject({ valid: true, first_seq: 3, rows: 2 })
  // What was noted down of the last row that went is compared with what the chain says it begins behind.
  const anchor = { seq: 2, hash: 'f'.repeat(64) }
  expect(await verify(client, { anchor })).toMatchObject({ valid: false, faults: [{ seq: 2, kind: 'anchor-differs' }] })
  await record(client, 1)
  expect(await verify(client)).toMatchObject({ valid: true, first_seq: 3, rows: 3 })
  expect(await createAuditUpkeep({ database, log: silentLog, retentionMonths: 1 }).round()).toEqual({ made: [], dropped: [] })
})

/** Rows at the beginning of a chain, as a worker of January 2020 would have written them. */
async function recordLongAgo(clientId: string, count: number) {
  await world.database.transaction((tx) => makePartition(tx, '2020-01'))
  const recordedAt = '2020-01-05T00:00:00.000000Z'
  const payload = { ...auditPayload(clientId), created_at: '2020-01-05T00:00:00.000Z' }
  const ids: string[] = []
  for (let i = 0; i < count; i++) ids.push(await world.requestAudit(payload))
  await world.database.transaction(async (tx, send) => {
    const { heads } = await lockHeads(tx, send, [clientId], GENESIS)
    const links: Link[] = []
    for (const id of ids) {
      const entry = parseEntry(id, payload)
      links.push(linkEntry(entry as Entry, links.at(-1) ?? heads.get(clientId) ?? GENESIS, recordedAt))
    }
    await moveToLog(tx, links, recordedAt)
    await moveHeads(tx, links.slice(-1))
  })
}
