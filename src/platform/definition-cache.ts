import { type RedisStore, unlessAway } from './redis'
import { remember } from './remember'

/** Whose definitions: a client's, or, as null, the catalogues that the platform keeps for all. */
export type Definer = string | null

export interface DefinitionCache {
  /**
   * What `load` gives, or gave of late if nothing that the definer has made was changed since, on whatever replica: one round trip to Redis tells.
   * Without Redis it is `load` alone. Undefined is not remembered. The value is shared and frozen. @throws what `load` throws
   */
  get<T>(definer: Definer, key: string, load: () => Promise<T>): Promise<T>
  /** After COMMIT and before the answer: whoever asks from now on reads anew. */
  changed(definers: Iterable<Definer>): Promise<void>
}

interface Entry {
  value: Promise<unknown>
  readAt: number
  mark: string
}

/** Bounds what may go unnoticed: a process that dies between COMMIT and the mark, a Redis that fails over to a replica without it. */
const FRESH_MS = 1000
/** A mark that nobody asked for is made anew. */
const MARK_SECONDS = 3600

/**
 * Each definer has a mark in Redis, another one after each change. A value is kept with the mark that was seen before it was read, so it is true for as long
 * as the mark is the same; a Redis that lost its data makes new marks.
 */
export function createDefinitionCache({ redis, size = 10_000 }: { redis: RedisStore; size?: number }): DefinitionCache {
  const entries = new Map<string, Entry>()
  // As PostgreSQL spells a UUID: one client has one mark, however a request writes it.
  const nameOf = (definer: Definer) => definer?.toLowerCase() ?? 'platform'
  const keyOf = (definer: Definer) => redis.key('defined', `{${nameOf(definer)}}`)

  const markOf = (definer: Definer) => {
    const fresh = crypto.randomUUID()
    return unlessAway(redis.run(async (client) => (await client.set(keyOf(definer), fresh, 'EX', MARK_SECONDS, 'NX', 'GET')) ?? fresh))
  }

  return {
    async get<T>(definer: Definer, key: string, load: () => Promise<T>): Promise<T> {
      const mark = await markOf(definer)
      if (mark === undefined) return load()
      const place = `${nameOf(definer)}:${key}`
      const known = entries.get(place)
      // Under this key there is only what its one kind of caller has loaded.
      if (known !== undefined && known.mark === mark && performance.now() - known.readAt < FRESH_MS) return known.value as Promise<T>
      const value = load().then(frozen)
      const entry: Entry = { value, readAt: performance.now(), mark }
      const forget = () => entries.get(place) === entry && entries.delete(place)
      value.then((found) => found === undefined && forget(), forget)
      remember(entries, place, entry, size)
      return value
    },
    async changed(definers) {
      const move = (definer: Definer) =>
        unlessAway(redis.run((client) => client.set(keyOf(definer), crypto.randomUUID(), 'EX', MARK_SECONDS)))
      await Promise.all([...new Set(definers)].map(move))
    },
  }
}

/** Whoever changed a shared value would change it for everybody. */
function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value) && !ArrayBuffer.isView(value)) {
    Object.freeze(value)
    Object.values(value).forEach(frozen)
  }
  return value
}
