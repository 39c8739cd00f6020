import { spawn } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { findFreePort } from '~/processes/ports'

export interface NativePostgres {
  url: string
  port: number
  pid: number
  /** Stops (SIGSTOP) the server with all its sessions, as a hanging machine would, and lets it go on. */
  freeze(): Promise<void>
  thaw(): Promise<void>
  stop(): Promise<void>
}

const NEEDED = ['initdb', 'postgres']

/** Where PostgreSQL's programs are: `PG_BIN` (`none` hides them), Debian's folders, newest version first, or the PATH. */
export function findPostgresPrograms(): string | undefined {
  if (process.env.PG_BIN === 'none') return undefined
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [
    process.env.PG_BIN ?? '',
    ...versions.map((version) => join(debian, version, 'bin')),
    ...(process.env.PATH ?? '').split(':'),
  ]
  return folders.find((folder) => folder !== '' && NEEDED.every((program) => existsSync(join(folder, program))))
}

/** What goes before a program that refuses to run as root, whose folder this is: as root it runs as the user `postgres`. */
export async function asPostgres(folder: string): Promise<string[]> {
  if (userInfo().uid !== 0) return []
  chownSync(folder, Number(await Bun.$`id -u postgres`.text()), Number(await Bun.$`id -g postgres`.text()))
  return ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups']
}

/** A throw-away server on a free loopback port, with durability off. */
export async function startNativePostgres(settings: Record<string, string> = {}): Promise<NativePostgres> {
  const programs = findPostgresPrograms()
  if (!programs) throw new Error('PostgreSQL is not installed')
  const folder = mkdtempSync('/tmp/evo-pg-')
  const asUser = await asPostgres(folder)
  const data = join(folder, 'data')
  await Bun.$`${[...asUser, join(programs, 'initdb'), '-D', data, '-U', 'evo', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync']}`.quiet()

  const port = await findFreePort()
  const options = {
    listen_addresses: '127.0.0.1',
    port: `${port}`,
    unix_socket_directories: folder,
    fsync: 'off',
    max_connections: '60',
    ...settings,
  }
  const [program = '', ...rest] = [...asUser, join(programs, 'postgres'), '-D', data]
  const server = spawn(program, [...rest, ...Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`])], {
    stdio: 'ignore',
  })
  const exited = new Promise<void>((resolve) => server.once('exit', () => resolve()))
  const killNow = () => void server.kill('SIGQUIT')
  process.once('exit', killNow)

  // Its last line says "ready" once it takes connections.
  const status = () => (existsSync(join(data, 'postmaster.pid')) ? readFileSync(join(data, 'postmaster.pid'), 'utf8') : '')
  for (let tries = 0; !/^ready/m.test(status()); tries++) {
    if (tries > 200 || server.exitCode !== null) throw new Error('PostgreSQL does not start')
    await Bun.sleep(25)
  }

  const signalAll = async (signal: 'SIGSTOP' | 'SIGCONT') => {
    const children = await Bun.$`pgrep -P ${server.pid}`.nothrow().text()
    for (const pid of [server.pid, ...children.split(/\s+/).map(Number)]) if (pid) process.kill(pid, signal)
  }

  return {
    url: `postgres://evo@127.0.0.1:${port}/postgres`,
    port,
    pid: server.pid ?? 0,
    freeze: () => signalAll('SIGSTOP'),
    thaw: () => signalAll('SIGCONT'),
    async stop() {
      await signalAll('SIGCONT').catch(() => undefined)
      killNow()
      await exited
      process.off('exit', killNow)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
