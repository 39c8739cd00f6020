import { EventEmitter } from 'node:events'
import { Redis } from 'ioredis'
import { CONNECTION, type ConnectionOptions, type LinkSettings, type RedisLink, requestOptions } from './redis-link'
import { toMaster } from './redis-sentinel'

/** Late or lost commands in a row that open the circuit. */
const FAILURES_TO_OPEN = 3

/**
 * The circuit is the connection: late commands in a row drop it, and it is open until a fresh connection has shaken hands.
 * So the half-open probe is the handshake, retried at most every 1.2 s, and no request ever pays for it.
 */
export function openServer(settings: LinkSettings): RedisLink {
  const { url, sentinels, commandTimeoutMs, log } = settings
  const connect = (options: ConnectionOptions) =>
    sentinels === undefined
      ? new Redis(url, { ...CONNECTION, ...options })
      : new Redis({ ...CONNECTION, ...toMaster(url, sentinels), ...options })
  const client = connect({ ...requestOptions(settings), enableOfflineQueue: false })
  const events: RedisLink['events'] = new EventEmitter()
  let failures = 0
  let isDropped = false
  let lastError: unknown
  const isUp = () => client.status === 'ready' && !isDropped

  client.on('error', (error) => {
    lastError = error
  })
  client.on('close', () => events.emit('down', lastError))
  client.on('ready', () => {
    failures = 0
    isDropped = false
    lastError = undefined
    events.emit('up')
  })

  return {
    commands: client,
    events,
    get isUp() {
      return isUp()
    },
    gather: () => sendTogether(client),
    answered() {
      failures = 0
    },
    failed(error) {
      failures += 1
      if (failures < FAILURES_TO_OPEN || !isUp()) return
      isDropped = true
      log.warn('redis circuit opened', { failures, error })
      client.disconnect(true)
    },
    servers: () => [client],
    dedicated: connect,
    async close() {
      isDropped = true
      await Promise.race([client.quit().catch(() => undefined), Bun.sleep(commandTimeoutMs)])
      client.disconnect()
    },
  }
}

/** What a turn of the event loop asks for goes out in one write at its end: a system call costs more than the command that it carries. */
function sendTogether({ stream }: Redis) {
  if (stream.writableCorked > 0) return
  stream.cork()
  setImmediate(() => stream.uncork())
}
