import { readFileSync } from 'node:fs'
import { findFreePort } from '~/processes/ports'

export interface Served {
  url: string
  pid: number
  stop(): Promise<void>
}

/** Runs one of the bench's own servers, which listens on `PORT` and ends when we are gone. */
export async function serve(script: string, env: Record<string, string>): Promise<Served> {
  const port = await findFreePort()
  const child = Bun.spawn([process.execPath, script], {
    env: { ...inherited(), NODE_ENV: 'production', ...env, PORT: String(port) },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'inherit',
    ipc: () => undefined,
  })
  const url = `http://127.0.0.1:${port}`
  try {
    await answering(`${url}/ready`, () => child.exitCode !== null)
  } catch (error) {
    child.kill()
    throw error
  }
  return {
    url,
    pid: child.pid,
    async stop() {
      child.kill()
      await child.exited
    },
  }
}

/** Called first thing by such a server. */
export const endWithParent = () => process.on('disconnect', () => process.exit(0))

/** No setting of whoever runs the bench may reach what it measures. */
export const inherited = () => ({ PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '' })

const READY_MS = 30_000

export async function answering(url: string, isGone: () => boolean): Promise<void> {
  const deadline = performance.now() + READY_MS
  while (performance.now() < deadline && !isGone()) {
    const answer = await fetch(url).catch(() => undefined) // nobody listens yet
    if (answer?.ok) return
    await Bun.sleep(20)
  }
  throw new Error(`${url} does not answer`)
}

/** Resident memory in MiB; undefined where there is no /proc, or no such process. */
export function residentMb(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined
  const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readProc(`/proc/${pid}/status`))?.[1]
  return kilobytes === undefined ? undefined : Math.round(Number(kilobytes) / 1024)
}

/** Processor time that the process has used so far, all its threads; NaN where there is no /proc. */
export function cpuMs(pid: number): number {
  const [user = Number.NaN, system = Number.NaN] = cpuTicks(pid)
  return (user + system) * MS_PER_TICK
}

/** The same of a process with its children, those that have ended too. */
export const familyCpuMs = (pid: number): number =>
  cpuTicks(pid).reduce((sum, ticks) => sum + ticks, 0) * MS_PER_TICK + childrenOf(pid).reduce((sum, child) => sum + cpuMs(child), 0)

const MS_PER_TICK = 10

/** Fields 14 to 17, told from behind the name, which may hold blanks: user and system time, then those of children that have ended. */
function cpuTicks(pid: number): number[] {
  const stat = readProc(`/proc/${pid}/stat`)
  return stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 15)
    .map(Number)
}

export const childrenOf = (pid: number): number[] => (readProc(`/proc/${pid}/task/${pid}/children`).match(/\d+/g) ?? []).map(Number)

function readProc(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return '' // no such process, or not Linux
  }
}
