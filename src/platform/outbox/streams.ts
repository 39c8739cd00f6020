import { type RedisStore, script } from '../redis'
import type { OutboxKind } from './table'

/** An outbox row as a stream sees it: whoever can write to Redis can name a row, but not say what is in it. */
export interface Notice {
  id: string
  kind: OutboxKind
}

/** One stream and one group a kind: entries are deleted once acknowledged, which a second group would miss. */
export const streamKey = (redis: RedisStore, kind: OutboxKind) => redis.key('stream', kind)
export const GROUP = 'workers'

/** All ids in one argument: a command or an argument for each would cost the process that publishes them more than all else about them. */
const APPEND = script<number>(
  `
  local count = 0
  for id in string.gmatch(ARGV[1], '%S+') do
    redis.call('XADD', KEYS[1], '*', 'id', id)
    count = count + 1
  end
  return count
  `,
  1,
)

/** A lost reply may mean that the entries are there: a worker meets them twice and finds the row done. */
export async function appendToStream(redis: RedisStore, kind: OutboxKind, ids: string[]): Promise<void> {
  await redis.run((client) => APPEND(client, streamKey(redis, kind), ids.join(' ')))
}

export const streamLength = (redis: RedisStore, kind: OutboxKind): Promise<number> =>
  redis.run((client) => client.xlen(streamKey(redis, kind)))

export interface StreamFigures {
  length: number
  /** Entries that no worker has read. */
  lag: number
  pending: number
  consumers: number
}

export const streamFigures = (redis: RedisStore, kind: OutboxKind): Promise<StreamFigures> =>
  redis.run(async (client) => {
    const stream = streamKey(redis, kind)
    const length = await client.xlen(stream)
    // There is no group before the first worker has come.
    const groups = length === 0 && (await client.exists(stream)) === 0 ? [] : ((await client.xinfo('GROUPS', stream)) as unknown[][])
    const fields = groups.map((flat) => new Map(flat.flatMap((name, index) => (index % 2 === 0 ? [[name, flat[index + 1]]] : []))))
    const group = fields.find((named) => named.get('name') === GROUP)
    const pending = Number(group?.get('pending') ?? 0)
    // What was acknowledged is gone. Redis's own `lag` is unknown once entries were deleted, and counts what was read long ago behind a failover.
    return { length, lag: Math.max(0, length - pending), pending, consumers: Number(group?.get('consumers') ?? 0) }
  })
