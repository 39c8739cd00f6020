import { type EmbeddedRedis, launchRedis } from '~/processes/embedded-redis'
import type { Launched } from '~/processes/launched'
import { serving } from './pglite'

const MAX_STARTS = 5

/**
 * A redis-server that serves. Like the supervisor it starts one again that ends at once: its predecessor was killed a moment ago and may still hold the port.
 * @throws Error saying how the last one ended
 */
export async function bringUpRedis(options: EmbeddedRedis, attempt = 1): Promise<Launched> {
  const server = launchRedis(options)
  try {
    await serving(server)
    return server
  } catch (error) {
    if (attempt === MAX_STARTS) throw error
    await Bun.sleep(100 * attempt)
    return bringUpRedis(options, attempt + 1)
  }
}
