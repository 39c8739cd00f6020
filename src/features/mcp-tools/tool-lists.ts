import { createHmac } from 'node:crypto'
import { type RedisStore, unlessAway } from '~/platform/redis'
import type { HeardTools, ToolLists } from '~/runtime/mcp/types'

/** A longer list is asked for by each process. */
const MAX_LENGTH = 262_144

/** In Redis, for all processes. `secret` makes the names: whoever reads them learns nothing about the credentials that a server is reached with. */
export function createToolLists({ redis, secret, seconds }: { redis: RedisStore; secret: Buffer; seconds: number }): ToolLists {
  const nameOf = (server: string) => redis.key('mcp-tools', createHmac('sha256', secret).update(server).digest('base64url'))
  return {
    async find(server) {
      const kept = await unlessAway(redis.run((client) => client.get(nameOf(server))))
      // Written below.
      return kept == null ? undefined : (JSON.parse(kept) as HeardTools)
    },
    async keep(server, heard) {
      const text = JSON.stringify(heard)
      if (text.length <= MAX_LENGTH) await unlessAway(redis.run((client) => client.set(nameOf(server), text, 'EX', seconds)))
    },
  }
}
