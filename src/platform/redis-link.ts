import type { EventEmitter } from 'node:events'
import type { Redis, RedisCommander, RedisOptions } from 'ioredis'
import type { Log } from './log'

/** What one server and a cluster have in common: commands, pipelines and transactions. */
export type Commands = Pick<Redis, keyof RedisCommander | 'pipeline' | 'multi'>

/** `replyMapping` would change the types of replies. */
export type ConnectionOptions = Omit<RedisOptions, 'replyMapping'>

export interface LinkSettings {
  /** Of a cluster or of Sentinels one or several, separated by commas. */
  url: string
  /** `url` names Sentinels. */
  sentinels?: Sentinels | undefined
  commandTimeoutMs: number
  name: string
  log: Log
}

export interface Sentinels {
  /** As they call it. */
  master: string
  /** Their own, where they want one. */
  password: string | undefined
}

/** The way to one server, or to the nodes of a cluster: who is asked, and when nobody is. */
export interface RedisLink {
  readonly commands: Commands
  /** False: commands would fail, or wait for nothing. */
  readonly isUp: boolean
  /** `down` comes with the last known error. */
  readonly events: EventEmitter<{ up: []; down: [unknown] }>
  /** Before commands are asked for. */
  gather(): void
  /** A server answered, if only that it refuses. */
  answered(): void
  /** Commands failed because of the link. */
  failed(error: unknown): void
  /** The servers that take writes; with a key only the one that has it. */
  servers(key?: string): Redis[]
  /** A connection to the server that has the key, wherever it goes; without a key to any server. */
  dedicated(options: ConnectionOptions, key?: string): Redis
  /** Waits up to one command's time for commands in flight. */
  close(): Promise<void>
}

export const backOff = (attempt: number) => Math.min(50 * 2 ** Math.min(attempt - 1, 5), 1000) + Math.random() * 200

export const CONNECTION: ConnectionOptions = {
  connectTimeout: 2000,
  disconnectTimeout: 100,
  maxLoadingRetryTime: 1000,
  retryStrategy: backOff,
  // A demoted primary refuses writes: find the new one.
  reconnectOnError: (error) => error.message.startsWith('READONLY'),
}

/** Nothing waits for a link that is down, and nothing is sent twice. */
export const requestOptions = ({ name, commandTimeoutMs }: LinkSettings) => ({
  connectionName: name,
  commandTimeout: commandTimeoutMs,
  autoResendUnfulfilledCommands: false,
  // Fails what is in flight when the link closes; without it ioredis 6.0.0 leaves such commands to their timeout (#2193).
  maxRetriesPerRequest: 0,
})

export interface Address {
  host: string
  port: number
}
export type Access = Pick<ConnectionOptions, 'username' | 'password' | 'tls'>

/** Who is asked for the servers, and what those are reached with, since only their addresses are told: as the first URL says. */
export function parseUrls(urls: string, { defaultPort = 6379 } = {}): { addresses: Address[]; access: Access; db: number } {
  const parsed = urls.split(',').map((url) => new URL(url.trim()))
  const { username = '', password = '', protocol, pathname = '' } = parsed[0] ?? {}
  return {
    addresses: parsed.map(({ hostname, port }) => ({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || defaultPort) })),
    access: {
      ...(username === '' ? {} : { username: decodeURIComponent(username) }),
      ...(password === '' ? {} : { password: decodeURIComponent(password) }),
      ...(protocol === 'rediss:' ? { tls: {} } : {}),
    },
    db: Number(pathname.slice(1)),
  }
}
