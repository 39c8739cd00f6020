import { DomainError } from './errors'

/** Memory for large things that this process holds at the same time. */
export interface Room {
  /**
   * Waits for so much room, in order. What is larger than all of it has it alone.
   * @throws DomainError `overloaded` when there is none within `maxWaitMs`, or too many wait; the signal's reason when that aborts
   */
  take(holder: string, bytes: number, until: Until): Promise<Hold>
  /** For what is in memory already: there is room, or there is none. */
  takeNow(holder: string, bytes: number): Hold | DomainError
}

type Until = { maxWaitMs: number; signal?: never } | { maxWaitMs?: never; signal: AbortSignal }

export interface Hold {
  /** Once; more often changes nothing. */
  release(): void
}

/** What nobody counts: so small a thing is let in at once, however full it is. */
export const SMALL_BYTES = 262_144
const MAX_WAITING = 1000

interface Waiter {
  holder: string
  bytes: number
  enter(): void
}

/** Of its `maxBytes` one holder has no more than half, or one single thing: others find room beside them. */
export function createRoom({ maxBytes }: { maxBytes: number }): Room {
  const waiters: Waiter[] = []
  const held = new Map<string, number>()
  let total = 0

  const fits = (bytes: number) => total + bytes <= maxBytes
  const isWithinShare = (holder: string, bytes: number) => {
    const own = held.get(holder) ?? 0
    return own === 0 || own + bytes <= maxBytes / 2
  }

  const count = (holder: string, bytes: number) => {
    total += bytes
    const own = (held.get(holder) ?? 0) + bytes
    if (own === 0) held.delete(holder)
    else held.set(holder, own)
  }

  /** Whoever waits for their own is passed by; whoever waits for all is not, else the small would keep the large out. */
  const admit = () => {
    for (const waiter of [...waiters]) {
      if (!isWithinShare(waiter.holder, waiter.bytes)) continue
      if (!fits(waiter.bytes)) return
      waiters.splice(waiters.indexOf(waiter), 1)
      count(waiter.holder, waiter.bytes)
      waiter.enter()
    }
  }

  const wait = async (holder: string, bytes: number, { maxWaitMs, signal }: Until) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiter = { holder, bytes, enter: resolve }
    waiters.push(waiter)
    const leave = (reason: unknown) => {
      const place = waiters.indexOf(waiter)
      if (place === -1) return
      waiters.splice(place, 1)
      reject(reason)
      // Those behind it may fit.
      admit()
    }
    const timer = maxWaitMs === undefined ? undefined : setTimeout(() => leave(overloaded()), maxWaitMs)
    const aborted = () => leave(signal?.reason)
    signal?.addEventListener('abort', aborted, { once: true })
    try {
      await promise
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', aborted)
    }
  }

  const isFree = (holder: string, bytes: number) =>
    fits(bytes) && isWithinShare(holder, bytes) && !waiters.some((waiter) => isWithinShare(waiter.holder, waiter.bytes))

  /** Of what was counted. */
  const holdOf = (holder: string, bytes: number): Hold => {
    let isHeld = true
    return {
      release() {
        if (!isHeld) return
        isHeld = false
        count(holder, -bytes)
        if (bytes >= COLLECTED_BYTES) collect()
        admit()
      },
    }
  }

  return {
    async take(holder, wanted, until) {
      until.signal?.throwIfAborted()
      const bytes = Math.min(wanted, maxBytes)
      if (isSmall(bytes)) return NOTHING
      if (isFree(holder, bytes)) count(holder, bytes)
      else if (waiters.length >= MAX_WAITING) throw overloaded()
      else await wait(holder, bytes, until)
      return holdOf(holder, bytes)
    },

    takeNow(holder, wanted) {
      const bytes = Math.min(wanted, maxBytes)
      if (isSmall(bytes)) return NOTHING
      if (!isFree(holder, bytes)) return overloaded()
      count(holder, bytes)
      return holdOf(holder, bytes)
    },
  }
}

/** Much that nobody refers to any more is collected before others take its room: the engine would let hundreds of megabytes of it pile up. */
const COLLECTED_BYTES = 8_388_608
let isCollecting = false

/** After whoever let it go has returned. */
function collect() {
  if (isCollecting) return
  isCollecting = true
  setImmediate(() => {
    isCollecting = false
    Bun.gc(true)
  })
}

const isSmall = (bytes: number) => bytes <= SMALL_BYTES
const NOTHING: Hold = { release() {} }
const overloaded = () => new DomainError('overloaded', 'Too many large bodies and files are in hand, try again.', { retryAfterSeconds: 2 })
