import type { Clock } from '~/platform/clock'
import type { Database, Db, Send } from '~/platform/db'
import type { Log } from '~/platform/log'
import type { RedisStore } from '~/platform/redis'
import { createStreamWorker, type Refusal, type StreamWorker } from '~/platform/stream-worker'
import { chainOf, type Entry, GENESIS, type Link, linkEntry } from './chain'
import { parseEntry } from './entry'
import { type DueRow, findRecorded, lockDue, lockHeads, moveHeads, moveToLog } from './queries/append'
import { makePartition } from './queries/partitions'

export interface AuditWorkerSettings {
  database: Database
  redis: RedisStore
  log: Log
  /** Entries of one transaction, besides older ones that come along. */
  batchSize?: number
  /** See the stream worker. */
  claimAfterMs?: number
  clock?: Clock
}

/** Writes audit entries in batches as they come: one transaction takes what has gathered during the one before. */
export function createAuditWorker({ database, redis, log, batchSize = 1000, ...timing }: AuditWorkerSettings): StreamWorker {
  const months = new Set<string>()
  const inTurn = createTurns()

  /** Upkeep makes partitions ahead; this is for a worker that it did not precede. */
  async function demandPartition(month: string) {
    if (months.has(month)) return
    await database.transaction((tx) => makePartition(tx, month))
    months.add(month)
  }

  async function write(ids: string[]): Promise<Refusal[]> {
    const outcome = await database.transaction((tx, send) => writeEntries(tx, send, ids, months))
    if (!('missing' in outcome)) return outcome.refusals
    await demandPartition(outcome.missing)
    const again = await database.transaction((tx, send) => writeEntries(tx, send, ids, months))
    if ('missing' in again) throw new Error(`the month ${again.missing} has begun meanwhile`)
    return again.refusals
  }

  return createStreamWorker({
    redis,
    database,
    log,
    kind: 'audit',
    batchSize,
    // The next batch is read, and the last one acknowledged, while one is written.
    concurrency: 2,
    ...timing,
    handle: (ids) => inTurn(() => write(ids)),
  })
}

/** One at a time, first come first served: two batches at once would only wait for each other's locks. */
function createTurns() {
  let last: Promise<unknown> = Promise.resolve()
  return <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work)
    last = result.catch(() => undefined) // told to whoever asked
    return result
  }
}

/** Older entries of the same clients that are written along with a batch. */
const MOST_ALONGSIDE = 2000
/** Links of one statement: while PostgreSQL writes them, the next are computed. */
const LINKS_AT_ONCE = 250

type Outcome = { refusals: Refusal[] } | { missing: string }

/**
 * Links what is in the outbox still to the chains, in the order in which it happened, and moves it into the log: an entry stands in one of the two. In
 * one transaction under the locks of the outbox rows and of the chains' ends, so several workers write each entry once and no chain forks.
 */
async function writeEntries(tx: Db, send: Send, ids: string[], months: ReadonlySet<string>): Promise<Outcome> {
  const rows = await lockDue(tx, ids, MOST_ALONGSIDE)
  const { entries, refusals } = await sort(tx, ids, rows)
  if (entries.length === 0) return { refusals }
  const { heads, now } = await lockHeads(tx, send, [...new Set(entries.map(({ client_id }) => chainOf(client_id)))], GENESIS)
  const month = now.slice(0, 7)
  if (!months.has(month)) return { missing: month }
  const ends = new Map<string, Link>()
  for (let at = 0; at < entries.length; at += LINKS_AT_ONCE) {
    const links = entries.slice(at, at + LINKS_AT_ONCE).map((entry) => {
      const chain = chainOf(entry.client_id)
      const link = linkEntry(entry, ends.get(chain) ?? heads.get(chain) ?? GENESIS, now)
      ends.set(chain, link)
      return link
    })
    await send(() => moveToLog(tx, links, now))
  }
  await send(() => moveHeads(tx, [...ends.values()]))
  return { refusals }
}

/** What is to be written, and what was asked for and never can be: ids of no audit entry (forged) and payloads that are none of ours. */
async function sort(tx: Db, ids: string[], rows: DueRow[]): Promise<{ entries: Entry[]; refusals: Refusal[] }> {
  const known = new Set(rows.map(({ id }) => id))
  const entries: Entry[] = []
  const malformed = new Set<string>()
  for (const { id, payload, done } of rows) {
    if (done) continue
    const entry = parseEntry(id, payload)
    if (entry === undefined) malformed.add(id)
    else entries.push(entry)
  }
  const absent = ids.filter((id) => !known.has(id))
  const recorded = absent.length === 0 ? new Set<string>() : await findRecorded(tx, absent)
  const refusals: Refusal[] = ids.flatMap((id) => {
    if (malformed.has(id)) return [{ id, reason: 'not an audit entry' }]
    return known.has(id) || recorded.has(id) ? [] : [{ id, reason: 'no such entry was written' }]
  })
  return { entries, refusals }
}
