import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'

export const HOST = '127.0.0.1'
export const PASSWORD = 'only-for-tests'

export type RedisNode = ReturnType<typeof createNode>

export interface NodeSettings {
  binary: string
  dir: string
  port: number
  /** Of the server's own file, one a line. */
  lines: string[]
  isSentinel?: boolean
}

/** A redis-server or a Sentinel, that is started, killed and started again. It may write to its file what it knows. */
export function createNode({ binary, dir, port, lines, isSentinel = false }: NodeSettings) {
  mkdirSync(dir)
  const settings = join(dir, 'redis.conf')
  const all = [`port ${port}`, `bind ${HOST}`, `dir ${dir}`, `requirepass ${PASSWORD}`, 'loglevel warning', ...lines]
  writeFileSync(settings, all.map((line) => `${line}\n`).join(''))
  const admin = new Redis({ host: HOST, port, password: PASSWORD, lazyConnect: true, retryStrategy: () => 50, maxRetriesPerRequest: 0 })
  // While it is down.
  admin.on('error', () => undefined)
  let child: Bun.Subprocess | undefined
  const kill = (signal: NodeJS.Signals) => {
    if (child !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, signal)
  }
  return {
    port,
    admin,
    start() {
      const command = ['/bin/sh', '-c', KEEPER, binary, settings, ...(isSentinel ? ['--sentinel'] : [])]
      child = Bun.spawn(command, { stdin: 'pipe', stdout: 'ignore', stderr: 'ignore', detached: true })
      if (admin.status === 'wait') admin.connect().catch(() => undefined)
    },
    /** The server and its keeper, which are one process group. */
    kill,
    async end() {
      kill('SIGKILL')
      await child?.exited
    },
  }
}

/** Ends them at once, with all that they wrote. */
export function removeNodes(nodes: readonly RedisNode[], folder: string) {
  for (const { admin, kill } of nodes) {
    admin.disconnect()
    kill('SIGKILL')
  }
  rmSync(folder, { recursive: true, force: true })
}

/** Ends the server when the pipe that we hold breaks, so that none outlives the tests. */
const KEEPER = `
exec 3<&0
"$0" "$@" </dev/null 3<&- & server=$!
(read _ <&3; kill -KILL $server) &
wait $server`
