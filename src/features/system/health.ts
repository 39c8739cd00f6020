import type { Database, DatabaseState } from '~/platform/db'
import type { RedisStore } from '~/platform/redis'

export interface Readiness {
  status: 'ready' | 'degraded' | 'unready'
  checks: { postgres: DatabaseState; migrations: 'ok' | 'behind' | 'unknown'; redis: 'ok' | 'down' | 'evicting'; draining: boolean }
}

export interface Health {
  /** From now on readiness says no, so that a load balancer turns elsewhere before the listener closes. */
  drain(): void
  readonly isDraining: boolean
  readiness(): Promise<Readiness>
}

const PING_MS = 1500
/** Several balancers may ask at once; they get the answer of one look. */
const FRESH_MS = 500

/** Ready means: PostgreSQL answers, takes changes, has our schema, and we are not stopping. A missing Redis makes things slower, never unready; nor does one that drops keys. */
export function createHealth({
  database,
  redis,
  isMigrated,
}: {
  database: Pick<Database, 'ping'>
  redis: Pick<RedisStore, 'available' | 'evicts'>
  isMigrated: () => Promise<boolean>
}): Health {
  let draining = false
  let migrated = false
  let last: { at: number; answer: Promise<Readiness> } | undefined

  const look = async (): Promise<Readiness> => {
    const postgres = await database.ping(PING_MS)
    const answers = postgres !== 'down'
    // Migrations only go forward: once there, always there.
    if (answers && !migrated) migrated = await isMigrated().catch(() => false)
    const checks = {
      postgres,
      migrations: migrated ? ('ok' as const) : answers ? ('behind' as const) : ('unknown' as const),
      redis: redis.available ? (redis.evicts ? ('evicting' as const) : ('ok' as const)) : ('down' as const),
      draining,
    }
    const ready = postgres === 'ok' && migrated && !draining
    return { status: ready ? (checks.redis === 'ok' ? 'ready' : 'degraded') : 'unready', checks }
  }

  return {
    drain() {
      draining = true
      last = undefined
    },
    get isDraining() {
      return draining
    },
    readiness() {
      const now = performance.now()
      if (last === undefined || now - last.at > FRESH_MS) last = { at: now, answer: look() }
      return last.answer
    },
  }
}
