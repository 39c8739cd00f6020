import { DomainError } from './errors'

export type Turns = <T>(name: string, work: () => Promise<T>) => Promise<T>

interface Lane {
  running: number
  waiting: (() => void)[]
}

const MAX_WAITING = 1000

/**
 * Lets no more than `atOnce` pieces of work under one name run at the same time in this process; the others wait for their turn, in order.
 * @throws DomainError `overloaded` to those whose turn does not come within `maxWaitMs`, and what the work throws
 */
export function createTurns({ atOnce, maxWaitMs }: { atOnce: number; maxWaitMs: number }): Turns {
  const lanes = new Map<string, Lane>()

  const arrive = async (lane: Lane) => {
    if (lane.running < atOnce) {
      lane.running++
      return
    }
    if (lane.waiting.length >= MAX_WAITING) throw overloaded(maxWaitMs)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    lane.waiting.push(resolve)
    const timer = setTimeout(() => {
      const place = lane.waiting.indexOf(resolve)
      if (place === -1) return
      lane.waiting.splice(place, 1)
      reject(overloaded(maxWaitMs))
    }, maxWaitMs)
    await promise.finally(() => clearTimeout(timer))
  }

  return async (name, work) => {
    const lane = lanes.get(name) ?? { running: 0, waiting: [] }
    lanes.set(name, lane)
    await arrive(lane)
    try {
      return await work()
    } finally {
      // The turn is handed on as it is; only when nobody wants it there is one less.
      const next = lane.waiting.shift()
      if (next !== undefined) next()
      else if (--lane.running === 0) lanes.delete(name)
    }
  }
}

const overloaded = (maxWaitMs: number) =>
  new DomainError('overloaded', 'Too many requests for the same thing at once.', { retryAfterSeconds: Math.ceil(maxWaitMs / 1000) })
