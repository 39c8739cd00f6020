import { fileURLToPath } from 'node:url'

/** A process that somebody keeps an eye on. */
export interface Launched {
  /** Unique among all processes that ever ran. */
  instance: string
  pid: number
  /** Settles when it serves; never, if it ends before. */
  ready: Promise<void>
  /** How it ended, in words. Never rejects. */
  exited: Promise<string>
  /** Lets a child start that was launched ahead. */
  start(): void
  kill(signal: 'SIGTERM' | 'SIGKILL'): void
}

export type ChildKind = 'api' | 'worker' | 'runner' | 'postgres'

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url))

/**
 * Else Bun holds back all but 256 calls to model providers at a time, without a word; and each collection of garbage wakes helper threads, which take
 * more from the processes beside this one than they save: what lives is small.
 */
const TUNING = { BUN_CONFIG_MAX_HTTP_REQUESTS: '4096', BUN_JSC_numberOfGCMarkers: '1' }

/**
 * Garbage is collected once so many bytes were allocated, where it would be about twice as many: all answers wait while it is, and how long grows
 * with what has died.
 */
const OFTEN_AND_BRIEF = { BUN_JSC_gcMaxHeapSize: String(28 * 1024 * 1024) }

/** Runs main.ts as a child, in our process group. It ends by itself when we vanish (child.ts). */
export function launchChild({
  kind,
  instance,
  env,
}: {
  kind: ChildKind
  instance: string
  env: Record<string, string | undefined>
}): Launched {
  const ready = Promise.withResolvers<void>()
  let reason: string | undefined
  const child = Bun.spawn([process.execPath, MAIN, instance], {
    env: { ...TUNING, ...(kind === 'api' ? OFTEN_AND_BRIEF : {}), ...env, EVO_CHILD: kind, EVO_INSTANCE: instance },
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'inherit',
    ipc(message: unknown) {
      if (typeof message !== 'object' || message === null || !('type' in message)) return
      if (message.type === 'ready') ready.resolve()
      if (message.type === 'failed' && 'message' in message) reason = String(message.message)
    },
  })
  const tell = (type: 'start' | 'stop') => {
    try {
      child.send({ type })
    } catch (error) {
      // It has ended, or is about to: `exited` says so.
      if (!(error instanceof Error && 'code' in error && error.code === 'ERR_IPC_CHANNEL_CLOSED')) throw error
    }
  }
  return {
    instance,
    pid: child.pid,
    ready: ready.promise,
    exited: child.exited.then(() => reason ?? describeExit(child)),
    start: () => tell('start'),
    kill(signal) {
      // Not by the signal alone: PostgreSQL ignores one that it may have got from elsewhere (child.ts).
      if (signal === 'SIGTERM') tell('stop')
      child.kill(signal)
    },
  }
}

export const describeExit = ({ exitCode, signalCode }: { exitCode: number | null; signalCode: string | number | null }) =>
  signalCode === null ? `exit code ${exitCode}` : `signal ${signalCode}`

/** `api-1` becomes `api-1-3f9a0c12`: a restarted process is another instance. */
export const newInstance = (name: string) => `${name}-${crypto.randomUUID().slice(0, 8)}`
