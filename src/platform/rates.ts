import { isIPv6 } from 'node:net'
import { DomainError } from './errors'
import { remember } from './remember'

export const RATE_WINDOW_SECONDS = 60

export interface Rate {
  /** The route class that it is about. */
  name: string
  limit: number
  remaining: number
  /** Until the whole limit is free again. */
  resetSeconds: number
}

/** @param fullMs until the bucket has run empty, at one request each `window / limit` */
export const rateOf = (name: string, limit: number, fullMs: number): Rate => ({
  name,
  limit,
  remaining: Math.max(0, Math.floor(limit - (fullMs * limit) / (RATE_WINDOW_SECONDS * 1000))),
  resetSeconds: Math.max(0, Math.ceil(fullMs / 1000)),
})

/** draft-ietf-httpapi-ratelimit-headers-10. */
export const rateHeaders = ({ name, limit, remaining, resetSeconds }: Rate): Record<string, string> => ({
  'ratelimit-policy': `"${name}";q=${limit};w=${RATE_WINDOW_SECONDS}`,
  ratelimit: `"${name}";r=${remaining};t=${resetSeconds}`,
})

/** @throws DomainError `rate-limited` if there is anything to wait for */
export function refuseOverRate(rate: Rate, waitMs: number) {
  if (waitMs <= 0) return
  const retryAfterSeconds = Math.ceil(waitMs / 1000)
  throw new DomainError('rate-limited', 'Too many requests.', { retryAfterSeconds, headers: rateHeaders({ ...rate, remaining: 0 }) })
}

/** Who is known by the address alone. An IPv6 host has 2^64 addresses of its own, so its network counts as one. */
export const addressSubject = (address: string): string => `address:${isIPv6(address) ? network64(address) : address}`

function network64(address: string): string {
  const [plain = ''] = address.split('%')
  const [head = '', tail] = plain.split('::')
  const groups = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  // An IPv4 address at the end takes two groups.
  const missing = tail === undefined ? 0 : 8 - groups.length - after.length - (after.at(-1)?.includes('.') ? 1 : 0)
  const all = [...groups, ...Array<string>(Math.max(0, missing)).fill('0'), ...after]
  return `${all
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}

const MAX_SUBJECTS = 50_000
/** Guessing is worth more while nobody counts for all. */
const STRICTNESS: Record<string, number> = { 'sign-in': 2, refused: 2 }

/**
 * The same buckets in this process, for as long as Redis is away: each process keeps its share, so that all of them together allow no more than before.
 * The answer throws `rate-limited`.
 */
export function createLocalRates<Class extends string>({ perMinute, processes }: { perMinute: Record<Class, number>; processes: number }) {
  const buckets = new Map<string, number>()
  return (subject: string, rateClass: Class): Rate => {
    const limit = Math.max(1, Math.floor(perMinute[rateClass] / processes / (STRICTNESS[rateClass] ?? 1)))
    const stepMs = (RATE_WINDOW_SECONDS * 1000) / limit
    const key = `${rateClass} ${subject}`
    const now = Date.now()
    const due = Math.max(now, buckets.get(key) ?? now)
    const waitMs = due + stepMs - now - stepMs * limit
    refuseOverRate(rateOf(rateClass, limit, due - now), waitMs)
    // At the end again: the one that is dropped for lack of room is the one that was not seen for longest.
    remember(buckets, key, due + stepMs, MAX_SUBJECTS)
    return rateOf(rateClass, limit, due + stepMs - now)
  }
}
