import { remember } from './remember'

interface Entry<T> {
  value: Promise<T>
  readAt: number
  /** Seen before the value was read: the value is true for as long as it is the same. */
  mark: string | undefined
}

export interface MarkedCache<T> {
  /**
   * What `load` gives, or gave up to `freshMs` ago if nothing has changed since. `load` runs at once, beside the question for the mark.
   * Without a mark (Redis is away) age alone decides. @throws what `asked` or `load` throw
   */
  get(key: string, load: () => Promise<T>, asked: Promise<{ mark: string | undefined }>): Promise<T>
}

/** Remembers what is asked in every request and changed by other processes, which say so by another mark. */
export function createMarkedCache<T>({ freshMs, size }: { freshMs: number; size: number }): MarkedCache<T> {
  const entries = new Map<string, Entry<T>>()
  const isFresh = ({ readAt }: Entry<T>) => performance.now() - readAt < freshMs

  const read = (key: string, load: () => Promise<T>, mark: string | undefined): Entry<T> => {
    const entry = { value: load(), readAt: performance.now(), mark }
    // A failure is not remembered: the next request asks again.
    entry.value.catch(() => entries.get(key) === entry && entries.delete(key))
    remember(entries, key, entry, size)
    return entry
  }

  return {
    async get(key, load, asked) {
      const known = entries.get(key)
      const entry = known !== undefined && isFresh(known) ? known : read(key, load, known?.mark)
      const { mark } = await asked
      if (mark === undefined || entry.mark === mark) return entry.value
      if (entry !== known) {
        // It began with this request and so is true for it; but the change may lie between it and the mark, so the next request asks again.
        if (entries.get(key) === entry) entries.set(key, { ...entry, readAt: Number.NEGATIVE_INFINITY, mark })
        return entry.value
      }
      const latest = entries.get(key)
      return latest !== undefined && latest.mark === mark && isFresh(latest) ? latest.value : read(key, load, mark).value
    },
  }
}
