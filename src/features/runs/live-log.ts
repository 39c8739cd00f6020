import type { Redis } from 'ioredis'
import { DomainError } from '~/platform/errors'
import type { Log } from '~/platform/log'
import { type RedisStore, script, unlessAway } from '~/platform/redis'
import { isTerminal, type LogEvent } from './log-event'

/** The run has another owner: whatever this process still does with it changes nothing. */
export class RunTakenOver extends Error {
  override name = 'RunTakenOver'
  constructor(runId: string) {
    super(`run ${runId} was taken over`)
  }
}

/** What is going on right now: entries of running runs in this process's memory, and in Redis for all the others. */
export interface LiveLog {
  /** False when Redis has not got them. Entries that it has are not added again. @throws RunTakenOver */
  append(run: { id: string; leaseToken: number }, entries: LogEvent[]): Promise<boolean>
  /**
   * From now on nobody with an older lease adds entries. Waits a moment for a link that is down: a process that has just started has none yet, and would
   * not see what only Redis has of a run that it takes over. False when Redis is away. @throws RunTakenOver
   */
  fence(run: { id: string; leaseToken: number }): Promise<boolean>
  /** What Redis has of a run behind `after`, without gaps; undefined when it is not reached. */
  recall(runId: string, after: number): Promise<LogEvent[] | undefined>
  /** This process writes the run's log behind `lastSeq` from now on: who follows it here need not ask anybody else. */
  open(runId: string, lastSeq: number): void
  /** Hands entries to the followers in this process. */
  show(runId: string, entries: LogEvent[]): void
  /** Removes the logs of these runs from Redis, and says how many there were; undefined when it is out of reach: they expire within the hour. */
  erase(runIds: string[]): Promise<number | undefined>
  /** No more entries come from this process. */
  forget(runId: string): void
  /** The caller closes it. */
  follow(runId: string): Follower
  /** This process stops: all who follow a run here must go on elsewhere. */
  interrupt(): void
  close(): void
}

export interface Follower {
  /**
   * Entries behind `after` that are at hand without gaps: from memory if the run is executed here, else from Redis.
   * @throws DomainError `overloaded` after `interrupt`
   */
  read(after: number): Promise<LogEvent[]>
  /** Whether all entries behind `after` are in memory or yet to be written by this process. */
  holds(after: number): boolean
  /** Settles at news since the last call, after `ms` at the latest, or when the signal aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>
  close(): void
}

const LINK_MS = 2000
const STREAM_SECONDS = 3600
/** Of a log that is over: PostgreSQL has had its end before Redis. */
const OVER_SECONDS = 60
const MAX_ENTRIES = 20_000
const MAX_READ = 500
const MAX_IN_MEMORY = 2000

/**
 * KEYS: stream, fence. ARGV: lease token, seconds that the stream and the fence live, channel, entry cap, then seq and JSON by turns.
 * Refuses an owner whose lease is older than one that has written; skips what is there already, so a repeated call changes nothing.
 */
const APPEND = script<number>(
  `
  local fence = tonumber(redis.call('GET', KEYS[2]) or '0')
  local token = tonumber(ARGV[1])
  if token < fence then return -1 end
  redis.call('SET', KEYS[2], token, 'EX', ARGV[3])
  local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
  local last = 0
  if newest[1] then last = tonumber(string.match(newest[1][1], '^(%d+)')) end
  for i = 6, #ARGV, 2 do
    if tonumber(ARGV[i]) > last then redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[5], ARGV[i] .. '-0', 'e', ARGV[i + 1]) end
  end
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  redis.call('PUBLISH', ARGV[4], '')
  return 1
  `,
  2,
)

interface Watched {
  /** Entries written by this process, newest last and without gaps. */
  entries: LogEvent[]
  isOurs: boolean
  /** The log before it was ours. */
  from: number
  isSubscribed: boolean
  followers: Set<{ hear(): void }>
}

export function createLiveLog({ redis, log }: { redis: RedisStore; log: Log }): LiveLog {
  const watched = new Map<string, Watched>()
  let interrupted = false
  let subscriber: Redis | undefined
  const keys = (runId: string) => [redis.key('run', `{${runId}}`, 'log'), redis.key('run', `{${runId}}`, 'fence')] as const
  const channel = (runId: string) => `${redis.key('run')}:${runId}`
  const runOf = (name: string) => name.slice(channel('').length)

  const watch = (runId: string): Watched => {
    let known = watched.get(runId)
    if (known === undefined) {
      known = { entries: [], isOurs: false, from: 0, isSubscribed: false, followers: new Set() }
      watched.set(runId, known)
    }
    return known
  }
  const wake = (runId: string) => {
    for (const follower of watched.get(runId)?.followers ?? []) follower.hear()
  }
  const drop = (runId: string) => {
    const here = watched.get(runId)
    if (here !== undefined && !here.isOurs && here.followers.size === 0) watched.delete(runId)
  }

  /** One connection hears of all runs that are followed here and executed elsewhere. */
  const subscribe = (runId: string, here: Watched) => {
    if (here.isSubscribed) return
    here.isSubscribed = true
    if (subscriber === undefined) {
      subscriber = redis.dedicated('run-followers')
      subscriber.on('message', (name: string) => wake(runOf(name)))
    }
    subscriber.subscribe(channel(runId)).catch((error) => log.debug('subscribe failed', { error }))
  }
  const unsubscribe = (runId: string, here: Watched) => {
    if (!here.isSubscribed) return
    here.isSubscribed = false
    subscriber?.unsubscribe(channel(runId)).catch((error) => log.debug('unsubscribe failed', { error }))
  }

  const recall: LiveLog['recall'] = async (runId, after) => {
    const stored = await unlessAway(redis.run((client) => client.xrange(keys(runId)[0], `${after + 1}-0`, '+', 'COUNT', MAX_READ)))
    const entries = stored?.map(([, fields]) => JSON.parse(fields[1] ?? 'null') as LogEvent)
    return entries && withoutGaps(entries, after)
  }

  const append: LiveLog['append'] = async ({ id, leaseToken }, entries) => {
    const last = entries.at(-1)
    const seconds = last !== undefined && isTerminal(last) ? OVER_SECONDS : STREAM_SECONDS
    const args = [String(leaseToken), String(seconds), String(STREAM_SECONDS), channel(id), String(MAX_ENTRIES)]
    for (const entry of entries) args.push(String(entry.seq), JSON.stringify(entry))
    const answer = await unlessAway(redis.run((client) => APPEND(client, ...keys(id), ...args)))
    if (answer === -1) throw new RunTakenOver(id)
    return answer !== undefined
  }

  return {
    append,
    recall,

    async fence(run) {
      await redis.ready(LINK_MS)
      return append(run, [])
    },

    open(runId, lastSeq) {
      const here = watch(runId)
      here.isOurs = true
      here.from = lastSeq
      // It was ours before, and somebody else's in between.
      if (here.entries.at(-1)?.seq !== lastSeq) here.entries = []
    },

    show(runId, entries) {
      const here = watch(runId)
      for (const entry of entries) {
        const last = here.entries.at(-1)?.seq
        // Late words of an earlier execution: whoever follows finds them in Redis.
        if (last !== undefined && entry.seq <= last) continue
        if (last !== undefined && entry.seq > last + 1) here.entries = []
        here.entries.push(entry)
      }
      if (here.entries.length > MAX_IN_MEMORY) here.entries.splice(0, here.entries.length - MAX_IN_MEMORY / 2)
      wake(runId)
    },

    async erase(runIds) {
      let erased = 0
      // Key by key: those of two runs lie in two hash slots.
      for (const id of runIds) {
        const count = await unlessAway(redis.run((client) => client.del(keys(id)[0])))
        if (count === undefined) return undefined
        erased += count
      }
      return erased
    },

    forget(runId) {
      const here = watched.get(runId)
      if (here === undefined) return
      here.isOurs = false
      // It goes on elsewhere.
      const last = here.entries.at(-1)
      if (here.followers.size > 0 && (last === undefined || !isTerminal(last))) subscribe(runId, here)
      wake(runId)
      // The end stays at hand for those who are just reading it.
      setTimeout(() => drop(runId), 5000).unref()
    },

    follow(runId) {
      const here = watch(runId)
      let news = true
      let resolve: (() => void) | undefined
      const self = {
        hear() {
          news = true
          resolve?.()
        },
      }
      here.followers.add(self)
      if (!here.isOurs) subscribe(runId, here)
      const inMemory = (after: number) => here.entries[0] === undefined || here.entries[0].seq <= after + 1
      return {
        holds: (after) => here.isOurs && after >= here.from && inMemory(after),
        async read(after) {
          if (interrupted) throw stopping()
          news = false
          const { entries, isOurs } = here
          const [first] = entries
          if (first !== undefined && inMemory(after)) {
            const rest = entries.slice(after + 1 - first.seq)
            if (rest.length > 0) return rest
          }
          // A Redis that is away says no more than one that has nothing: PostgreSQL is asked.
          return isOurs && after >= here.from ? [] : ((await recall(runId, after)) ?? [])
        },
        wait: (ms, signal) =>
          new Promise((settle) => {
            if (news || signal.aborted) return settle()
            const done = () => {
              clearTimeout(timer)
              signal.removeEventListener('abort', done)
              resolve = undefined
              settle()
            }
            const timer = setTimeout(done, ms)
            signal.addEventListener('abort', done, { once: true })
            resolve = done
          }),
        close() {
          here.followers.delete(self)
          if (here.followers.size > 0) return
          unsubscribe(runId, here)
          drop(runId)
        },
      }
    },

    interrupt() {
      interrupted = true
      for (const runId of watched.keys()) wake(runId)
    },

    close() {
      subscriber?.disconnect()
    },
  }
}

/** Redis lacks what was written while it was away: what lies behind such a gap is nobody's turn yet. */
function withoutGaps(entries: LogEvent[], after: number): LogEvent[] {
  const gap = entries.findIndex(({ seq }, index) => seq !== after + 1 + index)
  return gap === -1 ? entries : entries.slice(0, gap)
}

const stopping = () =>
  new DomainError(
    'overloaded',
    'This process is stopping, the run goes on. Come back for the rest: with Last-Event-ID, or the same Idempotency-Key.',
    {
      retryAfterSeconds: 1,
    },
  )
