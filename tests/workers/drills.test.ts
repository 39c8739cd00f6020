import { beforeAll, expect, test } from 'bun:test'
import postgres from 'postgres'
import { runAuditDrill } from '../drills/audit'
import { runMailDrill } from '../drills/mail'
import { services } from '../support/services'

/** The drills of `bun run drill:mail` and `drill:audit`, as small as they still mean something. */
const { databaseUrl } = services
const SLOW = 90_000

/** Work that earlier tests have left would be done along with the drill's own, and counted. */
beforeAll(async () => {
  const sql = postgres(databaseUrl, { max: 1, prepare: false, onnotice: () => {} })
  await sql`truncate outbox, deliveries cascade`
  await sql.end()
})

test(
  'F-17, F-18, F-22: processes and Redis are killed under the mails: none is lost, and none sent again without waiting for word of it',
  async () => {
    const holdSeconds = 5
    const drill = await runMailDrill({ databaseUrl, mode: 'events', mails: 80, kills: 3, redisKills: 1, holdSeconds })
    expect(drill).toMatchObject({ lost: 0, delivered: 80, kills: 3, redisKills: 1 })
    // Reports may be late on a busy machine. Half, for the sink may be as well when it notes the time.
    expect(drill.repeats.filter(({ afterMs }) => afterMs < (holdSeconds * 1000) / 2)).toEqual([])
  },
  SLOW,
)

test(
  'F-17, F-18, F-24: processes and Redis are killed under audit entries: each stands in its chain once',
  async () => {
    const drill = await runAuditDrill({ databaseUrl, entries: 1000, clients: 2, kills: 3, redisKills: 1 })
    expect(drill).toMatchObject({ entries: 1000, rows: 1000, distinct: 1000, validChains: 2, verifiedRows: 1000, passed: true })
  },
  SLOW,
)
