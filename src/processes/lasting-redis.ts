import type { Config } from '~/config'
import { type Log, silentLog } from '~/platform/log'
import { createRedis, evictionPolicyOf } from '~/platform/redis'
import { StartError } from './start-error'

/** How long Redis may take to answer; one that is away is looked at by the processes themselves, as soon as they reach it. */
const REACH_MS = 2000

/** @throws StartError in production where Redis would drop keys when it is full, unless the operator wants it so. */
export async function demandLastingRedis({ production, redis: { url, ...settings } }: Config, log: Log): Promise<void> {
  if (!production || settings.allowEviction || url === undefined) return
  const redis = createRedis({ ...settings, url, name: 'evo-supervisor', log: silentLog })
  try {
    if (!(await redis.ready(REACH_MS))) return
    const memories = await redis
      .askServers((server) => server.info('memory'))
      .catch((error) => {
        log.warn('redis does not tell its memory policy', { error })
        return []
      })
    const policy = evictionPolicyOf(memories)
    if (policy !== undefined)
      throw new StartError(
        `Redis drops keys when it is full (maxmemory-policy ${policy}): set it to noeviction, or REDIS_ALLOW_EVICTION=true`,
      )
  } finally {
    await redis.close()
  }
}
