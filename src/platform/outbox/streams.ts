import { type RedisStore, results } from '../redis'
import type { OutboxKind } from './table'

/** An outbox row as a stream sees it: whoever can write to Redis can name a row, but not say what is in it. */
export interface Notice {
  id: string
  kind: OutboxKind
}

/** One stream and one group a kind: entries are deleted once acknowledged, which a second group would miss. */
export const streamKey = (redis: RedisStore, kind: OutboxKind) => redis.key('stream', kind)
export const GROUP = 'workers'

/** A lost reply may mean that the entries are there: a worker meets them twice and finds the row done. */
export async function appendToStreams(redis: RedisStore, notices: Notice[]): Promise<void> {
  await redis.run((client) => {
    const pipeline = client.pipeline()
    for (const { id, kind } of notices) pipeline.xadd(streamKey(redis, kind), '*', 'id', id)
    return results(pipeline)
  })
}

export const streamLength = (redis: RedisStore, kind: OutboxKind): Promise<number> =>
  redis.run((client) => client.xlen(streamKey(redis, kind)))
