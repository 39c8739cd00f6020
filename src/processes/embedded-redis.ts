import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exchange } from './exchange'
import { describeExit, type Launched, newInstance } from './launched'

export interface EmbeddedRedis {
  /** The program: findRedis. */
  binary: string
  dataDir: string
  port: number
  password: string
  /** False keeps nothing on disk; for tests. */
  persistent: boolean
}

export const embeddedRedisUrl = ({ port, password }: { port: number; password: string }) => `redis://:${password}@127.0.0.1:${port}/0`

/**
 * Starts a private redis-server, in a process group of its own: ^C must not end it before the processes that use it. When we vanish, however, its
 * keeper ends it. A server whose keeper was killed too is ended here, before its data is opened a second time.
 */
export function launchRedis({ binary, dataDir, port, password, persistent }: EmbeddedRedis): Launched {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const settings = join(dataDir, 'redis.conf')
  const pidFile = join(dataDir, 'redis.pid')
  endStaleServer({ settings, pidFile })
  // A file, because what stands in the command line can be read by every user.
  writeFileSync(settings, settingsText({ dataDir, pidFile, port, password, persistent }), { mode: 0o600 })
  const keeper = Bun.spawn(['/bin/sh', '-c', KEEPER, binary, settings], {
    stdin: 'pipe',
    stdout: 'ignore',
    stderr: 'ignore',
    detached: true,
  })
  return {
    instance: newInstance('redis'),
    pid: keeper.pid,
    ready: untilServing({ port, password, gone: () => keeper.exitCode !== null || keeper.signalCode !== null }),
    exited: keeper.exited.then(() => `${describeExit(keeper)}, see ${join(dataDir, 'redis.log')}`),
    start: () => undefined,
    kill(signal) {
      if (keeper.exitCode !== null || keeper.signalCode !== null) return
      if (signal === 'SIGTERM') keeper.kill(signal)
      else process.kill(-keeper.pid, signal) // the server too
    },
  }
}

/**
 * Runs redis-server, and a watchman who reads from the pipe that we hold, so that he hears of our end, and then ends it. The server is told to
 * end by the keeper's SIGTERM; its exit code becomes the keeper's. When the keeper has ended, so have both.
 */
const KEEPER = `
exec 3<&0
"$0" "$1" </dev/null 3<&- & server=$!
trap 'kill -TERM $server' TERM
(trap - TERM; read _ <&3; kill -TERM $server) & watchman=$!
while kill -0 $server 2>/dev/null; do wait $server; code=$?; done
kill -KILL $watchman 2>/dev/null
wait $watchman
exit $code`

function settingsText({ dataDir, pidFile, port, password, persistent }: Omit<EmbeddedRedis, 'binary'> & { pidFile: string }): string {
  const settings: [string, string | number][] = [
    ['port', port],
    ['bind', '127.0.0.1'],
    ['requirepass', password],
    ['dir', JSON.stringify(dataDir)],
    ['pidfile', JSON.stringify(pidFile)],
    ['logfile', 'redis.log'],
    ['loglevel', 'warning'],
    ['appendonly', persistent ? 'yes' : 'no'],
    ['save', '""'],
    ['maxmemory-policy', 'noeviction'],
  ]
  return settings.map(([name, value]) => `${name} ${value}\n`).join('')
}

/** While it loads its data Redis answers `LOADING`. Never settles when the server ends before. */
async function untilServing({ port, password, gone }: { port: number; password: string; gone(): boolean }): Promise<void> {
  const hello = `AUTH ${password}\r\nPING\r\n`
  const isPong = (answer: Buffer) => answer.includes('+PONG')
  while (!gone()) {
    const served = await exchange({ host: '127.0.0.1', port, hello, enough: isPong, timeoutMs: 250 }).then(
      () => true,
      () => false, // not yet: that is what we wait for
    )
    if (served) return
    await Bun.sleep(10)
  }
  return new Promise(() => undefined)
}

const STALE_MS = 5000

function endStaleServer({ settings, pidFile }: { settings: string; pidFile: string }) {
  const pid = Number(readIfThere(pidFile))
  const port = Number(/^port (\d+)$/m.exec(readIfThere(settings))?.[1])
  const stale = { pid, port }
  if (!(pid > 1 && port > 0 && isThatServer(stale))) return
  process.kill(pid, 'SIGTERM')
  const deadline = Date.now() + STALE_MS
  while (isThatServer(stale)) {
    if (Date.now() > deadline + STALE_MS) throw new Error(`redis-server ${pid} of an earlier run cannot be ended`)
    if (Date.now() > deadline) process.kill(pid, 'SIGKILL')
    Bun.sleepSync(20)
  }
}

/** Another process may have the number by now, even another Redis; the title of a Redis names its port. */
function isThatServer({ pid, port }: { pid: number; port: number }): boolean {
  // Slim Linux images have no ps; others have no /proc.
  const title = existsSync('/proc/self/cmdline')
    ? readIfThere(`/proc/${pid}/cmdline`)
    : Bun.spawnSync(['ps', '-p', String(pid), '-o', 'args=']).stdout.toString()
  return /redis-server|valkey-server/.test(title) && title.includes(`:${port}`)
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    // ESRCH: the process of a /proc file has just ended
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return ''
    throw error
  }
}
