import { DomainError } from './errors'
import { type RedisStore, RedisUnavailable, script } from './redis'

export type RateClass = 'sign-in' | 'request' | 'chat'

export interface Admission {
  /**
   * One round trip to Redis: is this token denied, and is there room under the caller's rate? `subject` is a user, an agent or an address.
   * Without Redis the rate is kept in this process, and revocation is left to the look-up in PostgreSQL that follows.
   * @throws DomainError `invalid-token`, `rate-limited`
   */
  admit(subject: string, rateClass: RateClass, token?: { tokenId: string; sessionId: string }): Promise<void>
  /** Denies at once, on every replica, what PostgreSQL has revoked: a token or a whole sign-in. */
  deny(userId: string, what: { sessionId: string } | { tokenId: string }): Promise<void>
}

/**
 * GCRA (a leaky bucket as one number, the theoretical arrival time) on Redis's own clock, and the deny-list of the same subject: both keys in one hash slot.
 * KEYS: rate, deny. ARGV: milliseconds a request, burst, token id, session id.
 * Answers 0 (admitted), -1 (denied), or the milliseconds to wait.
 */
export const ADMIT_LUA = `
  if ARGV[3] ~= '' then
    local denied = redis.call('HMGET', KEYS[2], 'jti:' .. ARGV[3], 'sid:' .. ARGV[4])
    if denied[1] or denied[2] then return -1 end
  end
  local time = redis.call('TIME')
  local now = time[1] * 1000 + time[2] / 1000
  local step = tonumber(ARGV[1])
  local due = tonumber(redis.call('GET', KEYS[1]) or now)
  if due < now then due = now end
  local wait = due + step - now - step * tonumber(ARGV[2])
  if wait > 0 then return math.ceil(wait) end
  redis.call('SET', KEYS[1], string.format('%.3f', due + step), 'PX', math.ceil(due + step - now) + 1000)
  return 0
  `
const ADMIT = script<number>(ADMIT_LUA, 2)

const MAX_LOCAL_SUBJECTS = 50_000

export function createAdmission({
  redis,
  perMinute,
  tokenLifetimeSeconds,
}: {
  redis: RedisStore
  perMinute: Record<RateClass, number>
  tokenLifetimeSeconds: number
}): Admission {
  const local = new Map<string, number>()

  /** The same bucket in this process, for as long as Redis is away. */
  const waitLocally = (key: string, stepMs: number, burst: number): number => {
    const now = Date.now()
    const due = Math.max(now, local.get(key) ?? now)
    const wait = due + stepMs - now - stepMs * burst
    if (wait > 0) return wait
    if (local.size >= MAX_LOCAL_SUBJECTS) local.clear()
    local.set(key, due + stepMs)
    return 0
  }

  return {
    async admit(subject, rateClass, token) {
      const limit = perMinute[rateClass]
      const stepMs = 60_000 / limit
      const rateKey = redis.key('rate', `{${subject}}`, rateClass)
      const args = [stepMs, limit, token?.tokenId ?? '', token?.sessionId ?? '']
      let answer: number
      try {
        answer = await redis.run((client) => ADMIT(client, rateKey, redis.key('deny', `{${subject}}`), ...args))
      } catch (error) {
        if (!(error instanceof RedisUnavailable)) throw error
        answer = waitLocally(rateKey, stepMs, limit)
      }
      if (answer === -1) throw new DomainError('invalid-token', 'Invalid credentials')
      if (answer > 0) throw new DomainError('rate-limited', 'Too many requests.', { retryAfterSeconds: Math.ceil(answer / 1000) })
    },

    async deny(userId, what) {
      const field = 'sessionId' in what ? `sid:${what.sessionId}` : `jti:${what.tokenId}`
      const key = redis.key('deny', `{${userId}}`)
      try {
        await redis.run((client) =>
          client
            .multi()
            .hset(key, field, '1')
            .expire(key, tokenLifetimeSeconds + 60)
            .exec(),
        )
      } catch (error) {
        // PostgreSQL knows: the principal's look-up refuses within its one second of caching.
        if (!(error instanceof RedisUnavailable)) throw error
      }
    },
  }
}
