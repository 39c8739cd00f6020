import { delimiter } from 'node:path'
import type { Log } from '~/platform/log'
import { StartError } from './start-error'

const NAMES = ['redis-server', 'valkey-server']
const FOLDERS = [
  '/usr/bin',
  '/usr/local/bin',
  '/opt/homebrew/bin',
  '/opt/homebrew/opt/redis/bin',
  '/opt/local/bin',
  '/snap/bin',
  '/opt/bitnami/redis/bin',
]
/** Streams with everything that the workers ask of them. */
const LEAST_MAJOR = 7
const INSTALL_MS = 180_000

/**
 * The path of a Redis 7 or Valkey server. When there is none and we may, Debian's package manager is asked for one (half a minute).
 * @throws StartError naming the command that installs it.
 */
export async function findRedis({ mayInstall, log }: { mayInstall: boolean; log: Log }): Promise<string> {
  const found = search()
  if (found.path) return found.path
  const canInstall = process.getuid?.() === 0 && Bun.which('apt-get') !== null
  if (mayInstall && canInstall) {
    log.info('installing redis-server with apt-get (EVO_NO_INSTALL=1 forbids it)')
    const fault = await installRedis()
    const installed = search()
    if (installed.path) return installed.path
    throw new StartError(`apt-get could not install redis-server (${fault ?? installed.tooOld ?? 'not found afterwards'}): ${ADVICE}`)
  }
  throw new StartError(`${found.tooOld ?? 'redis-server was not found'}: ${ADVICE}`)
}

const ADVICE = `install it (${process.platform === 'darwin' ? 'brew install redis' : 'sudo apt-get install redis-server'}) or set REDIS_URL`

function search(): { path?: string; tooOld?: string } {
  let tooOld: string | undefined
  for (const path of candidates()) {
    const version = Bun.spawnSync([path, '--version'], { timeout: 5000 }).stdout.toString()
    const major = Number(/v=(\d+)/.exec(version)?.[1] ?? 0)
    if (major >= LEAST_MAJOR) return { path }
    tooOld = `${path} is older than Redis ${LEAST_MAJOR}`
  }
  return tooOld === undefined ? {} : { tooOld }
}

function candidates(): string[] {
  const PATH = [process.env.PATH ?? '', ...FOLDERS].join(delimiter)
  return NAMES.flatMap((name) => Bun.which(name, { PATH }) ?? [])
}

/** Returns what went wrong. */
async function installRedis(): Promise<string | undefined> {
  const deadline = Date.now() + INSTALL_MS
  // No system service: RUNLEVEL=1 tells Debian's init scripts that it is not the time to start one.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  for (const command of ['update', 'install']) {
    const rest = command === 'install' ? ['--no-install-recommends', 'redis-server'] : []
    const apt = Bun.spawn(['apt-get', '-qq', '-y', '-o', 'DPkg::Lock::Timeout=60', command, ...rest], {
      env,
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'pipe',
      timeout: Math.max(1000, deadline - Date.now()),
    })
    const [complaint, code] = await Promise.all([new Response(apt.stderr).text(), apt.exited])
    // An update may fail for one of many sources; the install decides.
    if (command === 'install' && code !== 0) return complaint.trim().split('\n').at(-1) || `exit code ${code}`
  }
  return undefined
}
