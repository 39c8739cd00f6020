import { DomainError } from './errors'
import { addressSubject, createLocalRates, RATE_WINDOW_SECONDS, type Rate, rateOf, refuseOverRate } from './rates'
import { type RedisStore, RedisUnavailable, results, script } from './redis'

/** `refused`: credentials that were none, counted by address, so that nobody goes on guessing. */
export const RATE_CLASSES = ['sign-in', 'read', 'write', 'chat', 'refused'] as const
export type RateClass = (typeof RATE_CLASSES)[number]

export interface Pass {
  rate: Rate
  /**
   * Another one as soon as anything about the subject's rights has changed anywhere, or Redis has lost what it knew. What was read from PostgreSQL
   * after the mark was seen is true for as long as the mark is the same. Undefined without Redis.
   */
  mark: string | undefined
}

export interface Admission {
  /**
   * One round trip to Redis: is this sign-in denied, has the subject changed, and is there room under its rate? `subject` is a user, a key or an agent.
   * Without Redis this process keeps its share of the rate, and revocation is left to the look-up in PostgreSQL that follows.
   * @throws DomainError `invalid-token`, `rate-limited`
   */
  admit(subject: string, rateClass: RateClass, sessionId?: string): Promise<Pass>
  /** The same for who is known by the address alone. */
  admitAddress(address: string, rateClass: RateClass): Promise<Pass>
  /** After COMMIT: what PostgreSQL has revoked is refused on every replica from the next request on. */
  deny(userId: string, sessionIds: string[]): Promise<void>
  /** After COMMIT: every replica looks the subject's rights up again with its next request. */
  changed(subject: string): Promise<void>
}

/**
 * GCRA (a leaky bucket as one number, the theoretical arrival time) on Redis's own clock, and what is known of the same subject: both keys in one hash slot.
 * A subject of which nothing is known gets a new mark, so a Redis that lost its data is noticed by everybody who remembers an older one.
 * KEYS: rate, state. ARGV: milliseconds a request, burst, session id or nothing.
 * Answers with the milliseconds to wait (0: admitted, -1: denied), the milliseconds until the bucket is empty, and the mark.
 */
export const ADMIT_LUA = `
  local time = redis.call('TIME')
  local mark = ''
  if ARGV[3] ~= '' then
    local state = redis.call('HMGET', KEYS[2], 'mark', 'sid:' .. ARGV[3])
    if state[2] then return { -1, 0, '' } end
    mark = state[1]
    if not mark then
      mark = time[1] .. '.' .. time[2]
      redis.call('HSET', KEYS[2], 'mark', mark)
      redis.call('EXPIRE', KEYS[2], 3600)
    end
  end
  local now = time[1] * 1000 + time[2] / 1000
  local step = tonumber(ARGV[1])
  local due = tonumber(redis.call('GET', KEYS[1]) or now)
  if due < now then due = now end
  local wait = due + step - now - step * tonumber(ARGV[2])
  if wait > 0 then return { math.ceil(wait), math.ceil(due - now), mark } end
  due = due + step
  redis.call('SET', KEYS[1], string.format('%.3f', due), 'PX', math.ceil(due - now) + 1000)
  return { 0, math.ceil(due - now), mark }
  `
const ADMIT = script<[waitMs: number, fullMs: number, mark: string]>(ADMIT_LUA, 2)

export interface AdmissionOptions {
  redis: RedisStore
  perMinute: Record<RateClass, number>
  /** Processes that serve the API, on all replicas together. */
  processes: number
  tokenLifetimeSeconds: number
}

export function createAdmission({ redis, perMinute, processes, tokenLifetimeSeconds }: AdmissionOptions): Admission {
  const local = createLocalRates({ perMinute, processes })
  // Each request needs both: their beginnings are made once.
  const [rates, states] = [redis.key('rate', ''), redis.key('state', '')]
  const stateKey = (subject: string) => `${states}{${subject}}`

  const admit = async (subject: string, rateClass: RateClass, sessionId = ''): Promise<Pass> => {
    const limit = perMinute[rateClass]
    const stepMs = (RATE_WINDOW_SECONDS * 1000) / limit
    try {
      const rateKey = `${rates}{${subject}}:${rateClass}`
      const [waitMs, fullMs, mark] = await redis.run((client) => ADMIT(client, rateKey, stateKey(subject), stepMs, limit, sessionId))
      if (waitMs === -1) throw new DomainError('invalid-token', 'Invalid credentials')
      const rate = rateOf(rateClass, limit, fullMs)
      refuseOverRate(rate, waitMs)
      return { rate, mark: mark === '' ? undefined : mark }
    } catch (error) {
      if (!(error instanceof RedisUnavailable)) throw error
      return { rate: local(subject, rateClass), mark: undefined }
    }
  }

  /** Kept as long as a token that it is about may live. */
  const setState = async (subject: string, fields: Record<string, string>) => {
    const key = stateKey(subject)
    try {
      await redis.run((client) =>
        results(
          client
            .multi()
            .hset(key, { ...fields, mark: crypto.randomUUID() })
            .expire(key, Math.max(3600, tokenLifetimeSeconds + 60)),
        ),
      )
    } catch (error) {
      // PostgreSQL knows: a look-up is trusted for one second without the mark.
      if (!(error instanceof RedisUnavailable)) throw error
    }
  }

  return {
    admit,
    admitAddress: (address, rateClass) => admit(addressSubject(address), rateClass),
    deny: (userId, sessionIds) => setState(userId, Object.fromEntries(sessionIds.map((id) => [`sid:${id}`, '1']))),
    changed: (subject) => setState(subject, {}),
  }
}
