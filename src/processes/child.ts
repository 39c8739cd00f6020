import type { Log } from '~/platform/log'

/**
 * A child's end of the line to the supervisor: when it may start, that it is ready, and when it has to stop. Module-wide, because it is about
 * the process itself.
 */

/** Unique among all processes that ever ran; log lines and leases carry it. */
export const instanceName = () => process.env.EVO_INSTANCE ?? `process-${process.pid}`

/** Told once, when this process serves. */
export const signalReady = () => {
  process.send?.({ type: 'ready' })
}

/**
 * What has to be settled before the process may end. Called once, on SIGTERM, when the supervisor is gone, or after an uncaught exception; the
 * process exits when it settles, or when the supervisor (or, without one, the deadline) loses patience.
 */
export function onStop(handler: (reason: StopReason) => Promise<void> | void) {
  handlers.push(handler)
}

/**
 * For what the others use to the end: SIGTERM, which systemd and timeout(1) send to every process at once, is left to the supervisor, who asks us
 * when it is our turn.
 */
export function stopLast() {
  isLast = process.connected
}

let isLast = false

export type StopReason = 'asked' | 'orphaned' | 'broken'
const handlers: ((reason: StopReason) => Promise<void> | void)[] = []

/** Without a supervisor nobody waits, and its successor wants our port and data. */
const ORPHAN_GRACE_MS = 2000
/** In an unknown state only what is in hand is finished. */
const BROKEN_GRACE_MS = 5000

/** Called first thing in a child. */
export function behaveAsChild({ log }: { log: Log }) {
  let stopping: StopReason | undefined
  const stop = async (reason: StopReason, graceMs?: number) => {
    if (stopping) return
    stopping = reason
    if (graceMs !== undefined) setTimeout(() => process.exit(1), graceMs)
    try {
      for (const handler of handlers) await handler(reason)
    } catch (error) {
      log.error('could not stop in good order', { error })
      process.exit(1)
    }
    process.exit(reason === 'asked' ? 0 : 1)
  }
  const breakDown = (error: unknown) => {
    log.error('uncaught exception', { error })
    void stop('broken', BROKEN_GRACE_MS)
  }
  process.on('uncaughtException', breakDown)
  process.on('unhandledRejection', breakDown)
  process.on('SIGTERM', () => {
    if (!isLast) void stop('asked')
  })
  process.on('message', (message) => {
    if (isOfType('stop', message)) void stop('asked')
  })
  // ^C reaches the whole process group; the supervisor hears it too and stops us in order.
  process.on('SIGINT', () => log.debug('left SIGINT to the supervisor'))
  process.on('SIGHUP', () => log.debug('left SIGHUP to the supervisor'))
  if (process.connected) process.on('disconnect', () => void stop('orphaned', ORPHAN_GRACE_MS))
}

/** Settles when the supervisor has prepared the database. Modules are loaded meanwhile. */
export const permissionToStart = (): Promise<void> =>
  new Promise((resolve) => {
    if (!process.connected) return resolve()
    process.on('message', (message) => {
      if (isOfType('start', message)) resolve()
    })
  })

const isOfType = (type: string, message: unknown) =>
  typeof message === 'object' && message !== null && 'type' in message && message.type === type

/** For a child that cannot start: the supervisor shows this line as the reason. */
export function failToStart(error: unknown): never {
  process.send?.({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
  process.exit(1)
}
