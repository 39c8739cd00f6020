import { createHash } from 'node:crypto'
import type { ChainableCommander, Redis } from 'ioredis'
import type { Log } from './log'
import { openCluster } from './redis-cluster'
import type { Commands, ConnectionOptions, LinkSettings, RedisLink } from './redis-link'
import { openServer } from './redis-server'

export type { Commands }

export interface RedisStore {
  /**
   * Runs commands on the request connection. Nothing is queued while the link is down and nothing is sent again after it:
   * a lost reply may still mean that the command ran, at once or after a frozen server woke up, so commands must be idempotent.
   * Each command has `commandTimeoutMs`. What Redis itself refuses (`WRONGTYPE`, a script's error) is thrown as it is.
   * @throws RedisUnavailable at once (0 ms) while the circuit is open or the link is down, else when the link fails or a command is late.
   */
  run<T>(commands: (redis: Commands) => Promise<T>): Promise<T>
  /** The same for what is about servers rather than keys: asks the only one, or all masters of a cluster; with `key` the one that has it. */
  askServers<T>(question: (server: Redis) => Promise<T>, key?: string): Promise<T[]>
  /** Whether `run` would try. */
  readonly available: boolean
  /** Whether the server, as it was when the link came up, drops keys when it is full. */
  readonly evicts: boolean
  /** Settles when the link is up (true) or after `ms` (false); never rejects. */
  ready(ms: number): Promise<boolean>
  /** Prefixed key. Keys of one multi-key operation must share a `{tag}`: on a cluster they must live in one hash slot. */
  key(...parts: string[]): string
  /**
   * A connection of its own, for a subscriber or for one blocking reader of the key `reads`; reconnects with back-off for ever; the caller disconnects it.
   * A reader's fails commands at once while it is down, and after MAX_BLOCK_MS + 5 s when the server is silent.
   * A subscriber waits for the link instead, and subscribes again after a loss: what was published meanwhile is gone.
   */
  dedicated(name: string, options?: { reads?: string }): Redis
  /** Waits up to one command's time for commands in flight. */
  close(): Promise<void>
}

export class RedisUnavailable extends Error {
  override name = 'RedisUnavailable'
}

/** What was asked of Redis, or undefined where it did not answer. */
export async function unlessAway<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof RedisUnavailable) return undefined
    throw error
  }
}

/** `name` is shown by CLIENT LIST. */
export interface RedisSettings extends LinkSettings {
  keyPrefix: string
  /** Whether `url` names nodes of a cluster: one or several URLs, separated by commas. */
  cluster?: boolean
}

/** Longest BLOCK on the connection of a reader: a longer one would look like a silent server. */
export const MAX_BLOCK_MS = 5000
const BLOCK_GRACE_MS = 5000
/** Replies of a server that is there but cannot serve: loading, held up by a script, demoted, full, split off its cluster, or without the key now. */
const UNFIT = /^(LOADING|BUSY|READONLY|MASTERDOWN|CLUSTERDOWN|MOVED|ASK|TRYAGAIN|NOREPLICAS|OOM|MISCONF|NOAUTH|WRONGPASS) /

export function createRedis({ cluster = false, keyPrefix, ...settings }: RedisSettings): RedisStore {
  const { name, log } = settings
  const link = (cluster ? openCluster : openServer)(settings)
  let isClosing = false
  let evicts = false
  reportState(link, log, () => isClosing)
  link.events.on('up', () => {
    Promise.all(link.servers().map((server) => server.info('memory'))).then(
      (memories) => {
        const policy = evictionPolicyOf(memories)
        evicts = policy !== undefined
        if (evicts) log.error('redis evicts keys: set maxmemory-policy to noeviction', { policy })
      },
      (error) => log.debug('redis memory policy is unknown', { error }),
    )
  })

  function onFailure(error: unknown): never {
    if (!isLinkFailure(error)) {
      link.answered()
      throw error
    }
    link.failed(error)
    throw new RedisUnavailable('Redis did not answer', { cause: error })
  }

  async function run<T>(commands: (redis: Commands) => Promise<T>): Promise<T> {
    if (!link.isUp) throw new RedisUnavailable('Redis is not connected')
    link.gather()
    try {
      const result = await commands(link.commands)
      link.answered()
      return result
    } catch (error) {
      return onFailure(error)
    }
  }

  return {
    get available() {
      return link.isUp
    },
    get evicts() {
      return evicts
    },
    run,
    askServers: (question, key) => run(() => Promise.all(link.servers(key).map(question))),
    ready: (ms) => isUpWithin(link, ms),
    key: (...parts) => keyPrefix + parts.join(':'),
    dedicated(suffix, { reads } = {}) {
      const connection = link.dedicated({ connectionName: `${name}:${suffix}`, ...(reads === undefined ? SUBSCRIBING : BLOCKING) }, reads)
      // Down together with the request connection, which reports it.
      connection.on('error', (error) => log.debug('redis connection failed', { connection: suffix, error }))
      return connection
    },
    async close() {
      isClosing = true
      await link.close()
    },
  }
}

const BLOCKING: ConnectionOptions = {
  commandTimeout: MAX_BLOCK_MS + BLOCK_GRACE_MS,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
}

const SUBSCRIBING: ConnectionOptions = { enableOfflineQueue: true, autoResubscribe: true, maxRetriesPerRequest: null }

/**
 * Results of a pipeline in order. `exec()` alone resolves even when every command failed.
 * @throws the first command's error
 */
export async function results(pipeline: ChainableCommander): Promise<unknown[]> {
  const replies = (await pipeline.exec()) ?? []
  return replies.map(([error, value]) => {
    if (error !== null) throw error
    return value
  })
}

/** A Lua script, sent by its hash and in full only to a server that does not know it. It may run twice (R31), so it must be idempotent. */
export function script<T>(lua: string, numberOfKeys: number) {
  const sha = createHash('sha1').update(lua).digest('hex')
  return (redis: Commands, ...keysAndArgs: (string | number | Buffer)[]): Promise<T> =>
    redis.evalsha(sha, numberOfKeys, ...keysAndArgs).catch((error) => {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return redis.eval(lua, numberOfKeys, ...keysAndArgs)
    }) as Promise<T>
}

/** Whether the link or the server is at fault rather than the command. */
export function isLinkFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error.name !== 'ReplyError') return LINK_ERRORS.test(`${error.name} ${error.message}`)
  return UNFIT.test(error.message) || refusalsBefore(error).some(isLinkFailure)
}

/** What the commands of a discarded transaction were told, as ioredis hands it on. */
const refusalsBefore = (discarded: Error): unknown[] =>
  'previousErrors' in discarded && Array.isArray(discarded.previousErrors) ? discarded.previousErrors : []

const LINK_ERRORS =
  /Command timed out|Connection is closed|Cluster isn't ready|Cluster is ended|Too many Cluster redirections|startup nodes|Stream isn't writeable|MaxRetriesPerRequestError|AbortError|ECONN|EPIPE|ETIMEDOUT|RedisUnavailable/

function isUpWithin({ isUp, events }: RedisLink, ms: number): Promise<boolean> {
  if (isUp) return Promise.resolve(true)
  return new Promise((resolve) => {
    const settle = (answer: boolean) => {
      clearTimeout(timer)
      events.off('up', onUp)
      resolve(answer)
    }
    const onUp = () => settle(true)
    const timer = setTimeout(() => settle(false), ms)
    events.once('up', onUp)
  })
}

/** One line when the link is lost and one when it is back, however often it is retried between. */
function reportState({ events }: RedisLink, log: Log, isClosing: () => boolean) {
  let reported: 'up' | 'down' | undefined
  events.on('down', (error) => {
    if (reported === 'down' || isClosing()) return
    reported = 'down'
    log.warn('redis unavailable', { error })
  })
  events.on('up', () => {
    if (reported === 'down') log.info('redis available')
    reported = 'up'
  })
}

/**
 * By which policy one of these servers drops keys when it is full, from what `INFO memory` says; undefined where none ever does.
 * One that does drops what revocation and limits rely on, without a word.
 */
export function evictionPolicyOf(memories: string[]): string | undefined {
  const policies = memories.map((memory) => {
    const policy = /maxmemory_policy:(\S+)/.exec(memory)?.[1] ?? 'noeviction'
    const isBounded = !/maxmemory:0\b/.test(memory)
    return isBounded && policy !== 'noeviction' ? policy : undefined
  })
  return policies.find((policy) => policy !== undefined)
}
