import type { Redis } from 'ioredis'
import { type Commands, isLinkFailure, MAX_BLOCK_MS, type RedisStore, RedisUnavailable, results, script } from '../redis'
import { GROUP, streamKey } from './streams'
import type { OutboxKind } from './table'

/** One delivery of a stream entry. */
export interface Delivery {
  entryId: string
  /** Name and value alternate. Anybody who can write to Redis may have written them. */
  fields: string[]
  /** 1 at first; grows when an entry is taken over. */
  count: number
}

/** One consumer's side of a stream's group. Every call but `read` fails fast; a lost group is made again by `ensure`. */
export interface ConsumerGroup {
  /** Makes the stream and its group, from the stream's beginning, where they are missing. */
  ensure(): Promise<void>
  /** New entries; waits up to `blockMs` (MAX_BLOCK_MS at most) for the first. @throws Error for which `isGroupLost` may hold */
  read(count: number, blockMs: number): Promise<Delivery[]>
  /** Entries that a consumer took so long ago that it must be dead, or that lost their way to it. */
  claim(count: number, idleMs: number): Promise<Delivery[]>
  /** Says that these are still being worked on, so that nobody else takes them. */
  touch(entryIds: string[]): Promise<void>
  /** Settles entries and deletes them, so that the stream holds what is unfinished. */
  acknowledge(entryIds: string[]): Promise<void>
  /** Forgets consumers that left nothing behind an hour ago, and entries that lost their pending mark, whose rows the sweeper publishes again. */
  tidy(): Promise<void>
  /** The same, and forgets this consumer too. */
  leave(): Promise<void>
  /** Ends a waiting `read` early, with what there is; without effect where the server forbids it. */
  wake(): Promise<void>
  /** Closes the reading connection. */
  disconnect(): void
}

const FORGET_AFTER_MS = 3_600_000

/** For scripts: a reply of names and values by turns, and the first entry of a group that is pending or not delivered yet. */
const LUA = `
  local function named(reply)
    local fields = {}
    for i = 1, #reply, 2 do fields[reply[i]] = reply[i + 1] end
    return fields
  end
  local function unsettled_from(stream, group)
    local oldest = redis.call('XPENDING', stream, group)[2]
    if oldest then return oldest end
    for _, reply in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
      local this = named(reply)
      if this.name == group then
        local ms, sequence = string.match(this['last-delivered-id'], '(%d+)-(%d+)')
        return ms .. '-' .. string.format('%.0f', tonumber(sequence) + 1)
      end
    end
  end
`

/**
 * Both commands lose entries when told too much, hence the checks in the same step: XGROUP DELCONSUMER what the consumer has pending,
 * XTRIM what is pending with anybody or not delivered yet (R33).
 */
const tidyUp = script<number>(
  `${LUA}
  local stream, group, leaver, forget_after = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
  for _, reply in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
    local consumer = named(reply)
    if consumer.pending == 0 and (consumer.name == leaver or consumer.idle > forget_after) then
      redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer.name)
    end
  end
  return redis.call('XTRIM', stream, 'MINID', unsettled_from(stream, group))
  `,
  1,
)

/**
 * Entries by their ids in one argument: as an argument each, thousands would cost the worker more than its own work on them. XDEL walks through the node
 * of a hundred entries for each, half of what a batch costs Redis; so what is settled at the stream's beginning goes by XTRIM, which drops whole nodes.
 */
const settle = script<null>(
  `${LUA}
  local stream, group, ids = KEYS[1], ARGV[1], {}
  for id in string.gmatch(ARGV[2], '%S+') do ids[#ids + 1] = id end
  -- Not all at once: what a call of Lua takes is limited.
  local function about(ids, ...)
    for first = 1, #ids, 1000 do
      local call = {...}
      for at = first, math.min(first + 999, #ids) do call[#call + 1] = ids[at] end
      redis.call(unpack(call))
    end
  end
  about(ids, 'XACK', stream, group)
  -- A Redis that forgot has no group.
  local known, from = pcall(unsettled_from, stream, group)
  if not known then return about(ids, 'XDEL', stream) end
  redis.call('XTRIM', stream, 'MINID', from)
  local function parts(id)
    local ms, sequence = string.match(id, '(%d+)-(%d+)')
    return tonumber(ms), tonumber(sequence)
  end
  local from_ms, from_sequence = parts(from)
  local later = {}
  for _, id in ipairs(ids) do
    local ms, sequence = parts(id)
    if ms > from_ms or (ms == from_ms and sequence >= from_sequence) then later[#later + 1] = id end
  end
  about(later, 'XDEL', stream)
  `,
  1,
)

export function joinGroup(redis: RedisStore, kind: OutboxKind, consumer: string): ConsumerGroup {
  const stream = streamKey(redis, kind)
  const reader: Redis = redis.dedicated(`${kind}-worker`, { reads: stream })

  let readerId: number | undefined
  reader.on('ready', () => {
    reader.client('ID').then(
      (id) => {
        readerId = id
      },
      () => {
        readerId = undefined
      },
    )
  })

  /** One call looks at ten times `count` pending entries only, so the dead ones may lie behind many live ones. */
  async function claimIdle(client: Commands, count: number, idleMs: number): Promise<Entry[]> {
    let cursor = '0-0'
    for (;;) {
      const reply = await client.xautoclaim(stream, GROUP, consumer, idleMs, cursor, 'COUNT', count)
      const [next, entries] = reply as [string, (Entry | null)[]]
      // A server before 7.0 reports entries that were trimmed as null.
      const present = entries.filter((entry) => entry !== null)
      if (present.length > 0 || next === '0-0') return present
      cursor = next
    }
  }

  function onReadFailure(error: unknown): never {
    if (!isLinkFailure(error)) throw error
    // A server that was silent may answer late, and hand entries to a call that nobody waits for: only a fresh connection is sure.
    if (reader.status === 'ready') reader.disconnect(true)
    throw new RedisUnavailable('the stream cannot be read', { cause: error })
  }

  return {
    ensure: () =>
      redis.run(async (client) => {
        await client.xgroup('CREATE', stream, GROUP, '0', 'MKSTREAM').catch((error: Error) => {
          if (!error.message.startsWith('BUSYGROUP')) throw error
        })
      }),

    async read(count, blockMs) {
      const block = Math.min(blockMs, MAX_BLOCK_MS)
      const reply = await reader
        .xreadgroup('GROUP', GROUP, consumer, 'COUNT', count, 'BLOCK', block, 'STREAMS', stream, '>')
        .catch((error) => onReadFailure(error))
      const [, entries] = (reply as [string, Entry[]][] | null)?.[0] ?? []
      return (entries ?? []).map((entry) => delivery(entry, 1))
    },

    claim: (count, idleMs) =>
      redis.run(async (client) => {
        const present = await claimIdle(client, count, idleMs)
        if (present.length === 0) return []
        const pipeline = client.pipeline()
        for (const [entryId] of present) pipeline.xpending(stream, GROUP, entryId, entryId, 1)
        const pending = (await results(pipeline)) as Pending[]
        return present.map((entry, index) => delivery(entry, pending[index]?.[0]?.[3] ?? 1))
      }),

    touch: (entryIds) =>
      redis.run(async (client) => {
        if (entryIds.length > 0) await client.xclaim(stream, GROUP, consumer, 0, ...entryIds, 'JUSTID')
      }),

    acknowledge: (entryIds) =>
      redis.run(async (client) => {
        if (entryIds.length > 0) await settle(client, stream, GROUP, entryIds.join(' '))
      }),

    tidy: () => redis.run(async (client) => void (await tidyUp(client, stream, GROUP, '', FORGET_AFTER_MS))),
    leave: () => redis.run(async (client) => void (await tidyUp(client, stream, GROUP, consumer, FORGET_AFTER_MS))),

    async wake() {
      const id = readerId
      if (id !== undefined) await redis.askServers((server) => server.client('UNBLOCK', id), stream)
    },

    disconnect: () => reader.disconnect(),
  }
}

/** Redis lost its data, or somebody deleted the stream or the group while we worked or waited on it. */
export const isGroupLost = (error: unknown) => error instanceof Error && /^(NOGROUP|UNBLOCKED)/.test(error.message)

type Entry = [entryId: string, fields: string[] | null]
type Pending = [entryId: string, consumer: string, idleMs: number, deliveries: number][]

const delivery = ([entryId, fields]: Entry, count: number): Delivery => ({ entryId, fields: fields ?? [], count })
