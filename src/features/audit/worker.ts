import type { Clock } from '~/platform/clock'
import type { Database, Db, Send } from '~/platform/db'
import type { Log } from '~/platform/log'
import type { RedisStore } from '~/platform/redis'
import { createStreamWorker, type Refusal, type StreamWorker } from '~/platform/stream-worker'
import { chainOf, type Entry, GENESIS, type Link, linkEntry } from './chain'
import { parseEntry } from './entry'
import { type Concerned, type DueRow, findConcerned, findFinished, lockDue, lockHeads, moveHeads, moveToLog } from './queries/append'
import { makePartition } from './queries/partitions'

export interface AuditWorkerSettings {
  database: Database
  redis: RedisStore
  log: Log
  /** Entries that are told of together. */
  batchSize?: number
  /** Older entries of the same clients that are written along with a batch in one transaction; what is left of them takes another one. */
  alongside?: number
  /** See the stream worker. */
  claimAfterMs?: number
  clock?: Clock
}

/** Writes audit entries in batches as they come: one transaction takes what has gathered during the one before. */
export function createAuditWorker({
  database,
  redis,
  log,
  batchSize = 2000,
  alongside = 2000,
  ...timing
}: AuditWorkerSettings): StreamWorker {
  const months = new Set<string>()
  const inTurn = createTurns()

  /** Upkeep makes partitions ahead; this is for a worker that it did not precede. */
  async function demandPartition(month: string) {
    if (months.has(month)) return
    await database.transaction((tx) => makePartition(tx, month))
    months.add(month)
  }

  /** One transaction after the other until all is written that waits of these clients up to `last`, or nothing more can be. */
  async function writeLane(clients: (string | null)[], last: string, most: number): Promise<Written> {
    const all: Written = { written: [], malformed: [] }
    for (;;) {
      const outcome = await database.transaction((tx, send) => writeEntries(tx, send, { clients, last, most }, months))
      if ('missing' in outcome) {
        await demandPartition(outcome.missing)
        continue
      }
      all.written.push(...outcome.written)
      all.malformed.push(...outcome.malformed)
      if (outcome.written.length === 0 || outcome.written.length + outcome.malformed.length < most) return all
    }
  }

  async function write(ids: string[], concerned: Concerned[]): Promise<Refusal[]> {
    const last = ids.toSorted().at(-1) ?? ''
    const lanes = share(concerned, ids.length < WORTH_LANES ? 1 : LANES)
    const outcomes = await Promise.allSettled(lanes.map((clients) => writeLane(clients, last, ids.length + alongside)))
    const written = new Set<string>()
    const malformed = new Set<string>()
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') throw outcome.reason
      for (const id of outcome.value.written) written.add(id)
      for (const id of outcome.value.malformed) malformed.add(id)
    }
    const others = ids.filter((id) => !written.has(id) && !malformed.has(id))
    const finished = others.length === 0 ? written : await findFinished(database.db, others)
    return ids.flatMap((id) => {
      if (malformed.has(id)) return [{ id, reason: 'not an audit entry' }]
      return written.has(id) || finished.has(id) ? [] : [{ id, reason: 'no such entry was written' }]
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
    async handle(ids) {
      const concerned = await findConcerned(database.db, ids)
      return inTurn(() => write(ids, concerned))
    },
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
/** Links of one statement: while PostgreSQL writes them, the next are computed. */
const LINKS_AT_ONCE = 250

/** Deals clients out, those with the most entries first, each to whoever has the fewest so far. */
function share(concerned: Concerned[], of: number): (string | null)[][] {
  const lanes = Array.from({ length: of }, () => ({ entries: 0, clients: [] as (string | null)[] }))
  for (const { clientId, entries } of concerned.toSorted((a, b) => b.entries - a.entries)) {
    const lane = lanes.reduce((least, one) => (one.entries < least.entries ? one : least))
    lane.entries += entries
    lane.clients.push(clientId)
  }
  return lanes.map(({ clients }) => clients).filter((clients) => clients.length > 0)
}

interface Written {
  written: string[]
  /** Rows whose payloads are none of ours: they stay until a worker is told of them and sets them aside. */
  malformed: string[]
}

interface Due {
  clients: (string | null)[]
  /** The entry up to which, that one included. */
  last: string
  /** Rows of one transaction. */
  most: number
}

/**
 * Links what waits in the outbox to the chains, in the order in which it happened, and moves it into the log: an entry stands in one of the two. In
 * one transaction under the locks of the outbox rows and of the chains' ends, so several workers write each entry once and no chain forks.
 */
async function writeEntries(
  tx: Db,
  send: Send,
  { clients, last, most }: Due,
  months: ReadonlySet<string>,
): Promise<Written | { missing: string }> {
  const rows = await lockDue(tx, send, clients, last, most)
  const result: Written = { written: [], malformed: [] }
  const entries: Entry[] = []
  for (const { id, payload } of rows.toSorted(byId)) {
    const entry = parseEntry(id, payload)
    if (entry === undefined) {
      result.malformed.push(id)
      continue
    }
    entries.push(entry)
    result.written.push(id)
  }
  if (entries.length === 0) return result
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
  return result
}

const byId = (one: DueRow, other: DueRow) => (one.id < other.id ? -1 : 1)
