import { EventEmitter } from 'node:events'
import { createConnection, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { AbstractConnector, Cluster, Command, Redis } from 'ioredis'
import { type Access, type Address, backOff, CONNECTION, type LinkSettings, parseUrls, type RedisLink, requestOptions } from './redis-link'

/** How late a move of slots that nobody stumbled upon is noticed. */
const REFRESH_MS = 2000
/** A slot may have moved once more while we followed it. */
const MAX_REDIRECTIONS = 4
/** How long a cluster that was found waits for the connections to all of its masters before it serves with those that it has. */
const CONNECT_MS = 2000

/**
 * A circuit for each node: after a late command those masters are dropped that do not answer a PING either, and what is theirs fails at once until
 * a fresh connection has shaken hands. The others go on. When none is left, all begins again with the nodes of `url`, their names looked up anew.
 */
export function openCluster(settings: LinkSettings): RedisLink {
  const { url, commandTimeoutMs, log } = settings
  const { addresses: nodes, access } = parseUrls(url)
  const events: RedisLink['events'] = new EventEmitter()
  const cluster = new Cluster(nodes, {
    enableOfflineQueue: false,
    clusterRetryStrategy: backOff,
    // Zero: a command that failed with its node is not sent again.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    maxRedirections: MAX_REDIRECTIONS,
    slotsRefreshInterval: REFRESH_MS,
    // Names are left to the connections: certificates are made out to names.
    dnsLookup: (host, callback) => callback(null, host),
    redisOptions: { ...CONNECTION, ...access, ...requestOptions(settings) },
  })
  let isServing = false
  let isProbing = false
  let lastError: unknown

  const masters = () => cluster.nodes('master')
  const isReady = ({ status }: Redis) => status === 'ready'
  const ownerOf = (key: string) => cluster.slots[new Command('get', [key]).getSlot()]?.[0]
  const serversOf = (key: string | undefined) => {
    const owner = key === undefined ? undefined : ownerOf(key)
    return masters().filter((node) => isReady(node) && (key === undefined || nameOf(node) === owner))
  }

  cluster.on('error', (error) => {
    lastError = error
  })
  cluster.on('node error', (error, node) => {
    lastError = error
    log.debug('redis node failed', { node, error })
  })
  cluster.on('close', () => {
    isServing = false
    events.emit('down', lastError)
  })
  cluster.on('ready', async () => {
    await Promise.race([Promise.all(masters().map(shakeHands)), Bun.sleep(CONNECT_MS)])
    if (cluster.status !== 'ready') return
    isServing = true
    lastError = undefined
    events.emit('up')
  })
  cluster.on('+node', (node: Redis) => {
    node.on('ready', () => {
      if (isServing) log.info('redis node available', { node: nameOf(node) })
      // Still one of ours: the topology has not let it go.
      node.once('close', () => cluster.nodes().includes(node) && isServing && log.warn('redis node unavailable', { node: nameOf(node) }))
    })
    if (cluster.status === 'ready' && !node.options.readOnly) void shakeHands(node)
  })

  /** A late command does not tell whom it waited for. */
  async function dropSilent() {
    if (isProbing) return
    isProbing = true
    const drop = (node: Redis) => {
      log.warn('redis circuit opened', { node: nameOf(node) })
      node.disconnect()
    }
    await Promise.all(serversOf(undefined).map((node) => node.ping().catch(() => drop(node))))
    isProbing = false
  }

  return {
    commands: cluster,
    events,
    get isUp() {
      return isServing && masters().some(isReady)
    },
    gather: () => undefined,
    answered: () => undefined,
    failed(error) {
      if (error instanceof Error && error.message === 'Command timed out') void dropSilent()
    },
    servers: serversOf,
    dedicated(options, key) {
      const addressOf = (): Address => {
        const owner = key === undefined ? undefined : ownerOf(key)
        const known = owner === undefined ? sample(serversOf(undefined).map(nameOf)) : owner
        return known === undefined ? (sample(nodes) as Address) : parseName(known)
      }
      return new Redis({ ...CONNECTION, ...access, ...options, Connector: connectorTo(addressOf, access) })
    },
    async close() {
      isServing = false
      await Promise.race([cluster.quit().catch(() => undefined), Bun.sleep(commandTimeoutMs)])
      cluster.disconnect()
    },
  }
}

/** Only for a node that nobody has asked anything yet. What goes wrong is told by 'node error'. */
async function shakeHands(node: Redis) {
  if (node.status === 'wait') await node.connect().catch(() => undefined)
}

/** Which server a connection is made to is decided anew each time that it is made. */
const connectorTo = (addressOf: () => Address, { tls }: Access) =>
  class extends AbstractConnector {
    constructor() {
      super(CONNECTION.disconnectTimeout ?? 0)
    }

    /** Never rejects: ioredis would not try again. */
    override async connect(): Promise<Socket> {
      this.connecting = true
      const address = addressOf()
      const stream = tls === undefined ? createConnection(address) : connectTls({ ...tls, ...address })
      stream.once('error', (error) => {
        this.firstError = error
      })
      this.stream = stream
      return stream
    }
  }

const nameOf = ({ options: { host, port } }: Redis) => `${host}:${port}`

const parseName = (name: string): Address => {
  const colon = name.lastIndexOf(':')
  return { host: name.slice(0, colon), port: Number(name.slice(colon + 1)) }
}

const sample = <T>(of: T[]): T | undefined => of[Math.floor(Math.random() * of.length)]
