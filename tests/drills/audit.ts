import { sql } from 'drizzle-orm'
import { verifyChain } from '~/features/audit/verify'
import { readOrExit } from '../bench/run-to-end'
import { readDrill } from './arguments'
import { createBlows, pick, printTable, setStage } from './stage'

export interface AuditDrill {
  entries: number
  rows: number
  distinct: number
  chains: number
  validChains: number
  verifiedRows: number
  kills: number
  redisKills: number
  seconds: number
  passed: boolean
}

const STALL_MS = 45_000

/** Entries of several clients, while the processes that write and record them are killed, and Redis too. */
export async function runAuditDrill({
  databaseUrl,
  entries,
  clients: count = 5,
  kills = Math.min(100, Math.ceil(entries / 1000)),
  redisKills = 2,
  log = () => {},
}: {
  databaseUrl: string
  entries: number
  clients?: number
  kills?: number
  redisKills?: number
  log?: (line: string) => void
}): Promise<AuditDrill> {
  const startedAt = performance.now()
  const stage = await setStage(databaseUrl)
  const { db } = stage.database
  try {
    const clientIds = await Promise.all(Array.from({ length: count }, () => stage.addClient()))
    const perClient = Math.ceil(entries / count)
    const total = perClient * count
    const order = { claimAfterMs: 1500, holdSeconds: 3, retryUnfinishedMs: 4000 }
    const victims = [
      stage.keep('worker', { ...order, queues: ['audit', 'sweeper'] }),
      stage.keep('worker', { ...order, queues: ['audit'] }),
      stage.keep('producer', { kind: 'audit', clientIds, perClient }),
    ]
    const deaths = createBlows(kills, () => pick(victims).kill())
    const restarts = createBlows(redisKills, () => stage.killRedis())
    const ofClients = sql`chain_id = any(${sql.param(clientIds)}::uuid[])`
    let rows = -1
    let movedAt = performance.now()
    let saidAt = movedAt
    for (;;) {
      const [row] = await db.execute<{ rows: number }>(sql`select count(*)::int as rows from audit_logs where ${ofClients}`)
      if ((row?.rows ?? 0) !== rows) movedAt = performance.now()
      rows = row?.rows ?? 0
      if (performance.now() - saidAt > 10_000) {
        log(`${rows} of ${total} recorded, ${deaths.struck} processes and ${restarts.struck} times Redis killed`)
        saidAt = performance.now()
      }
      if (rows >= total || performance.now() - movedAt > STALL_MS) break
      await deaths.at(rows / total)
      await restarts.at(rows / total)
      await Bun.sleep(200)
    }
    // Long enough for a doubled entry to show.
    await Bun.sleep(1000)
    const [end] = await db.execute<{ rows: number; distinct: number }>(
      sql`select count(*)::int as rows, count(distinct id)::int as distinct from audit_logs where ${ofClients}`,
    )
    const verified = await Promise.all(clientIds.map((clientId) => verifyChain(db, { clientId })))
    const drill = {
      entries: total,
      rows: end?.rows ?? 0,
      distinct: end?.distinct ?? 0,
      chains: count,
      validChains: verified.filter(({ valid, complete }) => valid && complete).length,
      verifiedRows: verified.reduce((sum, { rows: those }) => sum + those, 0),
      kills: deaths.struck,
      redisKills: restarts.struck,
      seconds: (performance.now() - startedAt) / 1000,
    }
    const isExact = drill.rows === total && drill.distinct === total && drill.verifiedRows === total
    return { ...drill, passed: isExact && drill.validChains === count }
  } finally {
    await stage.close()
  }
}

export const printAuditDrill = ({
  entries,
  rows,
  distinct,
  chains,
  validChains,
  verifiedRows,
  kills,
  redisKills,
  seconds,
  passed,
}: AuditDrill) =>
  printTable(`drill:audit: ${passed ? 'passed' : 'FAILED'}`, [
    ['entries committed', entries],
    ['rows', `${rows}, ${distinct} of them distinct`],
    ['chains', `${validChains} of ${chains} valid, ${verifiedRows} rows verified`],
    ['processes killed', kills],
    ['Redis killed', `${redisKills} times`],
    ['seconds', seconds.toFixed(1)],
  ])

if (import.meta.main) {
  const known = { modes: [], counted: 'entries' }
  const { count = 100_000 } = readOrExit(() => readDrill(process.argv.slice(2), known), 'bun run drill:audit [--entries n]')
  const { withDatabase } = await import('./database')
  await withDatabase(async (databaseUrl) => {
    const log = (line: string) => process.stderr.write(`${line}\n`)
    const drill = await runAuditDrill({ databaseUrl, entries: count, log })
    printAuditDrill(drill)
    if (!drill.passed) process.exitCode = 1
  })
  process.exit()
}
