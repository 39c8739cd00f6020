import type { Clock } from '~/platform/clock'
import type { Database, Db } from '~/platform/db'
import type { Log } from '~/platform/log'
import type { RedisStore } from '~/platform/redis'
import { createStreamWorker, type Refusal, type StreamWorker } from '~/platform/stream-worker'
import { chainOf, type Entry, GENESIS, type Link, linkEntry } from './chain'
import { parseEntry } from './entry'
import { appendLinks, finishEntries, lockDue, lockHeads } from './queries/append'
import { makePartition } from './queries/partitions'

export interface AuditWorkerSettings {
  database: Database
  redis: RedisStore
  log: Log
  /** Entries of one insert. */
  batchSize?: number
  /** See the stream worker. */
  claimAfterMs?: number
  clock?: Clock
}

/** Writes audit entries in batches as they come: one insert takes what has gathered during the one before. */
export function createAuditWorker({ database, redis, log, batchSize = 500, ...timing }: AuditWorkerSettings): StreamWorker {
  const months = new Set<string>()

  /** Upkeep makes partitions ahead; this is for a worker that it did not precede. */
  async function demandPartition(month: string) {
    if (months.has(month)) return
    await database.transaction((tx) => makePartition(tx, month))
    months.add(month)
  }

  return createStreamWorker({
    redis,
    database,
    log,
    kind: 'audit',
    batchSize,
    concurrency: 1,
    ...timing,
    handle: async (ids) => {
      const outcome = await database.transaction((tx) => writeEntries(tx, ids, months))
      if (!('missing' in outcome)) return outcome.refusals
      await demandPartition(outcome.missing)
      const again = await database.transaction((tx) => writeEntries(tx, ids, months))
      if ('missing' in again) throw new Error(`the month ${again.missing} has begun meanwhile`)
      return again.refusals
    },
  })
}

/** Older entries of the same clients that are written along with a batch. */
const MOST_ALONGSIDE = 2000

type Outcome = { refusals: Refusal[] } | { missing: string }

/**
 * Links what is not done yet to the chains, in the order in which it happened, and calls it done. In one transaction under the locks of the outbox rows
 * and of the chains' ends, so several workers write each entry once and no chain forks.
 */
async function writeEntries(tx: Db, ids: string[], months: ReadonlySet<string>): Promise<Outcome> {
  const rows = await lockDue(tx, ids, MOST_ALONGSIDE)
  const { entries, refusals } = sort(ids, rows)
  if (entries.length === 0) return { refusals }
  const { heads, now } = await lockHeads(tx, [...new Set(entries.map(({ client_id }) => chainOf(client_id)))], GENESIS)
  const month = now.slice(0, 7)
  if (!months.has(month)) return { missing: month }
  const links: Link[] = []
  for (const entry of entries) {
    const link = linkEntry(entry, heads.get(chainOf(entry.client_id)) ?? GENESIS, now)
    heads.set(link.chain_id, link)
    links.push(link)
  }
  await appendLinks(tx, links)
  await finishEntries(tx, entries)
  return { refusals }
}

/** What is to be written, and what was asked for and never can be: ids of no audit row (forged, or pruned since) and payloads that are none of ours. */
function sort(ids: string[], rows: { id: string; payload: unknown; done: boolean }[]) {
  const known = new Map(rows.map((row) => [row.id, row]))
  const entries: Entry[] = []
  const malformed = new Set<string>()
  for (const { id, payload, done } of rows) {
    if (done) continue
    const entry = parseEntry(id, payload)
    if (entry === undefined) malformed.add(id)
    else entries.push(entry)
  }
  const refusals: Refusal[] = ids.flatMap((id) => {
    if (!known.has(id)) return [{ id, reason: 'no such entry was written' }]
    return malformed.has(id) ? [{ id, reason: 'not an audit entry' }] : []
  })
  return { entries, refusals }
}
