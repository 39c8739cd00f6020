import type { Clock } from '~/platform/clock'
import type { Database, Db, Send } from '~/platform/db'
import type { Log } from '~/platform/log'
import type { RedisStore } from '~/platform/redis'
import { createStreamWorker, type Refusal, type StreamWorker } from '~/platform/stream-worker'
import { chainOf, type Entry, GENESIS, type Link, linkEntry } from './chain'
import { parseEntry } from './entry'
import { findRecorded, type Lane, lockDue, lockHeads, moveHeads, moveToLog } from './queries/append'
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
export function createAuditWorker({ database, redis, log, batchSize = 2000, ...timing }: AuditWorkerSettings): StreamWorker {
  const months = new Set<string>()
  const inTurn = createTurns()

  /** Upkeep makes partitions ahead; this is for a worker that it did not precede. */
  async function demandPartition(month: string) {
    if (months.has(month)) return
    await database.transaction((tx) => makePartition(tx, month))
    months.add(month)
  }

  async function writeLane(ids: string[], lane: Lane): Promise<Written> {
    const outcome = await database.transaction((tx, send) => writeEntries(tx, send, ids, lane, months))
    if (!('missing' in outcome)) return outcome
    await demandPartition(outcome.missing)
    const again = await database.transaction((tx, send) => writeEntries(tx, send, ids, lane, months))
    if ('missing' in again) throw new Error(`the month ${again.missing} has begun meanwhile`)
    return again
  }

  async function write(ids: string[]): Promise<Refusal[]> {
    const of = ids.length < WORTH_LANES ? 1 : LANES
    const outcomes = await Promise.allSettled(Array.from({ length: of }, (_, number) => writeLane(ids, { number, of })))
    const known = new Set<string>()
    const malformed = new Set<string>()
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') throw outcome.reason
      for (const id of outcome.value.known) known.add(id)
      for (const id of outcome.value.malformed) malformed.add(id)
    }
    const absent = ids.filter((id) => !known.has(id))
    const recorded = absent.length === 0 ? known : await findRecorded(database.db, absent)
    return ids.flatMap((id) => {
      if (malformed.has(id)) return [{ id, reason: 'not an audit entry' }]
      return known.has(id) || recorded.has(id) ? [] : [{ id, reason: 'no such entry was written' }]
    })
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

/** Transactions that share a large batch by its clients, so that PostgreSQL writes the one's links while the other's are computed. */
const LANES = 2
const WORTH_LANES = 100
/** Older entries of the same clients that are written along with a batch. */
const MOST_ALONGSIDE = 2000
/** Links of one statement: while PostgreSQL writes them, the next are computed. */
const LINKS_AT_ONCE = 250

interface Written {
  /** Rows that are there, the finished ones too. */
  known: string[]
  /** Those of them whose payloads are none of ours. */
  malformed: string[]
}

/**
 * Links what is in the outbox still to the chains, in the order in which it happened, and moves it into the log: an entry stands in one of the two. In
 * one transaction under the locks of the outbox rows and of the chains' ends, so several workers write each entry once and no chain forks.
 */
async function writeEntries(
  tx: Db,
  send: Send,
  ids: string[],
  lane: Lane,
  months: ReadonlySet<string>,
): Promise<Written | { missing: string }> {
  const rows = await lockDue(tx, ids, lane, MOST_ALONGSIDE)
  const written: Written = { known: rows.map(({ id }) => id), malformed: [] }
  const entries: Entry[] = []
  for (const { id, payload, done } of rows) {
    if (done) continue
    const entry = parseEntry(id, payload)
    if (entry === undefined) written.malformed.push(id)
    else entries.push(entry)
  }
  if (entries.length === 0) return written
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
  return written
}
