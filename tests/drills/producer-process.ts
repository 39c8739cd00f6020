/**
 * Stands for an API process: commits changes with what follows from them and tells the workers, until all is committed. Killed and started again it goes
 * on with what is not committed yet. `bun producer-process.ts '<order as JSON>'`
 */
import { sql } from 'drizzle-orm'
import { createDatabase } from '~/platform/db'
import { silentLog } from '~/platform/log'
import { createRelay } from '~/platform/outbox/relay'
import { system } from '~/platform/principal'
import { createRedis } from '~/platform/redis'
import { createWrite } from '~/platform/unit-of-work'

export interface ProducerOrder {
  databaseUrl: string
  redisUrl: string
  prefix: string
  /** A mail for each user of these clients; or so many entries for each of them. */
  kind: 'email' | 'audit'
  clientIds: string[]
  perClient: number
}

const order: ProducerOrder = JSON.parse(process.argv[2] ?? '')
const parent = process.ppid
setInterval(() => {
  if (process.ppid !== parent) process.exit(1)
}, 500).unref()

/** Entries of one transaction. */
const AT_ONCE = 50

const { databaseUrl: url, redisUrl, prefix } = order
const database = createDatabase({
  url,
  poolSize: 4,
  prepare: true,
  statementTimeoutMs: 30_000,
  connectTimeoutMs: 5000,
  acquireTimeoutMs: 30_000,
  tls: 'auto',
  applicationName: 'drill-producer',
  log: silentLog,
})
const redis = createRedis({ url: redisUrl, keyPrefix: prefix, commandTimeoutMs: 500, name: 'drill-producer', log: silentLog })
await redis.ready(2000)
const relay = createRelay({ database, redis, log: silentLog })
const write = createWrite({ database, relay })

if (order.kind === 'email') await produceMails()
else for (const clientId of order.clientIds) await produceEntries(clientId)
await relay.close()
await Promise.all([redis.close(), database.close()])
process.exit(0)

async function produceMails() {
  const left = await database.db.execute<{ id: string }>(sql`
    select id from users where client_id = any(${sql.param(order.clientIds)}::uuid[])
      and not exists (select from outbox where kind = 'email' and payload->>'user_id' = users.id::text)`)
  const waiting = left.map(({ id }) => id)
  const lane = async () => {
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
      const userId = id
      await write(system, async ({ tx, mail }) => {
        // Behind the COMMIT of a producer that was killed while PostgreSQL carried it out: one mail for each user, whoever asks for it.
        await tx.execute(sql`select from users where id = ${userId} for update`)
        const [asked] = await tx.execute(sql`select from outbox where kind = 'email' and payload->>'user_id' = ${userId}`)
        if (asked === undefined) mail({ template: 'password-changed', user_id: userId })
      })
    }
  }
  await Promise.all(Array.from({ length: 4 }, lane))
}

async function produceEntries(clientId: string) {
  for (;;) {
    const [row] = await database.db.execute<{ committed: number }>(
      // Each stands in one of the two, and moves in one step.
      sql`select ((select count(*) from outbox where kind = 'audit' and client_id = ${clientId})
        + (select count(*) from audit_logs where client_id = ${clientId}))::int as committed`,
    )
    let left = order.perClient - (row?.committed ?? 0)
    if (left <= 0) return
    while (left > 0) {
      const count = Math.min(AT_ONCE, left)
      await write(system, async ({ audit }) => {
        for (let i = 0; i < count; i++)
          audit({ action: 'drill', resourceType: 'drill', resourceId: crypto.randomUUID(), clientId, details: { left: left - i } })
      })
      left -= count
    }
  }
}
