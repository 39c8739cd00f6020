import { createHash } from 'node:crypto'
import { type ChainableCommander, Redis, type RedisOptions } from 'ioredis'
import type { Log } from './log'

export interface RedisStore {
  /**
   * Runs commands on the request connection. Nothing is queued while the link is down and nothing is sent again after it:
   * a lost reply may still mean that the command ran, at once or after a frozen server woke up, so commands must be idempotent.
   * Each command has `commandTimeoutMs`. What Redis itself refuses (`WRONGTYPE`, a script's error) is thrown as it is.
   * @throws RedisUnavailable at once (0 ms) while the circuit is open or the link is down, else when the link fails or a command is late.
   */
  run<T>(commands: (redis: Redis) => Promise<T>): Promise<T>
  /** Whether `run` would try. */
  readonly available: boolean
  /** Whether the server, as it was when the link came up, drops keys when it is full. */
  readonly evicts: boolean
  /** Settles when the link is up (true) or after `ms` (false); never rejects. */
  ready(ms: number): Promise<boolean>
  /** Prefixed key. Keys of one multi-key operation must share a `{tag}`: on a cluster they must live in one hash slot. */
  key(...parts: string[]): string
  /**
   * A connection of its own, for a subscriber or (`blocking`) for one blocking reader; reconnects with back-off for ever; the caller disconnects it.
   * A blocking one fails commands at once while it is down, and after MAX_BLOCK_MS + 5 s when the server is silent.
   * A subscriber waits for the link instead, and subscribes again after a loss: what was published meanwhile is gone.
   */
  dedicated(name: string, options?: { blocking?: boolean }): Redis
  /** Waits up to one command's time for commands in flight. */
  close(): Promise<void>
}

export class RedisUnavailable extends Error {
  override name = 'RedisUnavailable'
}

export interface RedisSettings {
  url: string
  keyPrefix: string
  commandTimeoutMs: number
  /** Shown by CLIENT LIST. */
  name: string
  log: Log
}

/** Longest BLOCK of a reader on a `dedicated({ blocking: true })` connection: a longer one would look like a silent server. */
export const MAX_BLOCK_MS = 5000
const BLOCK_GRACE_MS = 5000
/** Late or lost commands in a row that open the circuit. */
const FAILURES_TO_OPEN = 3
/** Replies of a server that is there but cannot serve: loading its data, demoted, full, or split off its cluster. */
const UNFIT = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|OOM|MISCONF|NOAUTH|WRONGPASS) /

/**
 * The circuit is the connection: late commands in a row drop it, and it is open until a fresh connection has shaken hands.
 * So the half-open probe is the handshake, retried at most every 1.2 s, and no request ever pays for it.
 */
export function createRedis({ url, keyPrefix, commandTimeoutMs, name, log }: RedisSettings): RedisStore {
  const client = connect(url, {
    connectionName: name,
    commandTimeout: commandTimeoutMs,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // Fails what is in flight when the link closes; without it ioredis 6.0.0 leaves such commands to their timeout (#2193).
    maxRetriesPerRequest: 0,
  })
  let failures = 0
  let dropped = false
  let closing = false
  let evicts = false
  reportState(client, log, () => closing)
  client.on('ready', () => {
    failures = 0
    dropped = false
    client.info('memory').then(
      (memory) => {
        const policy = evictionPolicyOf(memory)
        evicts = policy !== undefined
        if (evicts) log.error('redis evicts keys: set maxmemory-policy to noeviction', { policy })
      },
      (error) => log.debug('redis memory policy is unknown', { error }),
    )
  })

  const isAvailable = () => client.status === 'ready' && !dropped

  function onFailure(error: unknown): never {
    if (!isLinkFailure(error)) {
      failures = 0
      throw error
    }
    failures += 1
    if (failures >= FAILURES_TO_OPEN && isAvailable()) {
      dropped = true
      log.warn('redis circuit opened', { failures, error })
      client.disconnect(true)
    }
    throw new RedisUnavailable('Redis did not answer', { cause: error })
  }

  return {
    get available() {
      return isAvailable()
    },
    get evicts() {
      return evicts
    },
    async run(commands) {
      if (!isAvailable()) throw new RedisUnavailable('Redis is not connected')
      sendTogether(client)
      try {
        const result = await commands(client)
        failures = 0
        return result
      } catch (error) {
        return onFailure(error)
      }
    },
    ready: (ms) => isReadyWithin(client, ms),
    key: (...parts) => keyPrefix + parts.join(':'),
    dedicated(suffix, { blocking = false } = {}) {
      const connection = connect(url, { connectionName: `${name}:${suffix}`, ...(blocking ? BLOCKING : SUBSCRIBING) })
      // Down together with the request connection, which reports it.
      connection.on('error', (error) => log.debug('redis connection failed', { connection: suffix, error }))
      return connection
    },
    async close() {
      closing = true
      dropped = true
      await Promise.race([client.quit().catch(() => undefined), Bun.sleep(commandTimeoutMs)])
      client.disconnect()
    },
  }
}

/** `replyMapping` would change the types of replies. */
type Options = Omit<RedisOptions, 'replyMapping'>

const BLOCKING: Options = {
  commandTimeout: MAX_BLOCK_MS + BLOCK_GRACE_MS,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
}

const SUBSCRIBING: Options = { enableOfflineQueue: true, autoResubscribe: true, maxRetriesPerRequest: null }

/** The one place that opens connections; Sentinel and Cluster addresses belong here. */
function connect(url: string, options: Options): Redis {
  return new Redis(url, {
    connectTimeout: 2000,
    disconnectTimeout: 100,
    maxLoadingRetryTime: 1000,
    retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt - 1, 5), 1000) + Math.random() * 200,
    // A demoted primary refuses writes: find the new one.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    ...options,
  })
}

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
  return async (redis: Redis, ...keysAndArgs: (string | number | Buffer)[]): Promise<T> => {
    try {
      return (await redis.evalsha(sha, numberOfKeys, ...keysAndArgs)) as T
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return (await redis.eval(lua, numberOfKeys, ...keysAndArgs)) as T
    }
  }
}

/** Whether the link or the server is at fault rather than the command. */
export function isLinkFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return error.name === 'ReplyError' ? UNFIT.test(error.message) : LINK_ERRORS.test(`${error.name} ${error.message}`)
}

const LINK_ERRORS =
  /Command timed out|Connection is closed|Stream isn't writeable|MaxRetriesPerRequestError|AbortError|ECONN|EPIPE|ETIMEDOUT|RedisUnavailable/

/** What a turn of the event loop asks for goes out in one write at its end: a system call costs more than the command that it carries. */
function sendTogether({ stream }: Redis) {
  if (stream.writableCorked > 0) return
  stream.cork()
  setImmediate(() => stream.uncork())
}

function isReadyWithin(client: Redis, ms: number): Promise<boolean> {
  if (client.status === 'ready') return Promise.resolve(true)
  return new Promise((resolve) => {
    const settle = (isReady: boolean) => {
      clearTimeout(timer)
      client.off('ready', onReady)
      resolve(isReady)
    }
    const onReady = () => settle(true)
    const timer = setTimeout(() => settle(false), ms)
    client.once('ready', onReady)
  })
}

/** One line when the link is lost and one when it is back, however often it is retried between. */
function reportState(client: Redis, log: Log, isClosing: () => boolean) {
  let reported: 'up' | 'down' | undefined
  let lastError: unknown
  client.on('error', (error) => {
    lastError = error
  })
  client.on('close', () => {
    if (reported === 'down' || isClosing()) return
    reported = 'down'
    log.warn('redis unavailable', { error: lastError })
  })
  client.on('ready', () => {
    if (reported === 'down') log.info('redis available')
    reported = 'up'
    lastError = undefined
  })
}

/**
 * By which policy a server drops keys when it is full, from what `INFO memory` says; undefined where it never does.
 * One that does drops what revocation and limits rely on, without a word.
 */
export function evictionPolicyOf(memory: string): string | undefined {
  const policy = /maxmemory_policy:(\S+)/.exec(memory)?.[1] ?? 'noeviction'
  const isBounded = !/maxmemory:0\b/.test(memory)
  return isBounded && policy !== 'noeviction' ? policy : undefined
}
