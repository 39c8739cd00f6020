import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../support/until'

const MAIN = join(import.meta.dir, '../../src/main.ts')

export type RunningServer = ReturnType<typeof startServer>

/** Runs the whole server as an operator would: nothing configured but what `env` says. */
export function startServer(env: Record<string, string>) {
  const tag = crypto.randomUUID()
  const { PATH = '', HOME = '' } = process.env
  const child = Bun.spawn([process.execPath, MAIN], {
    env: { PATH, HOME, PORT: '0', EVO_API_PROCESSES: '1', SHUTDOWN_GRACE_SECONDS: '5', EVO_TEST_TAG: tag, ...env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    detached: true,
  })
  let out = ''
  let err = ''
  const read = async (stream: ReadableStream<Uint8Array>, add: (text: string) => void) => {
    const decoder = new TextDecoder()
    for await (const chunk of stream) add(decoder.decode(chunk, { stream: true }))
  }
  const finished = Promise.all([
    read(child.stdout, (text) => {
      out += text
    }),
    read(child.stderr, (text) => {
      err += text
    }),
    child.exited,
  ])

  const processes = () => processesOf(tag, env.EVO_DATA_DIR ?? '?')

  const server = {
    pid: child.pid,
    out: () => out,
    err: () => err,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    /** Exit code, once its output is complete. */
    async exited() {
      await finished
      return child.exitCode
    },
    async ready() {
      await until(() => out.includes('Evo AI is ready') || child.exitCode !== null, 90_000)
      if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}: ${out}${err}`)
      return server
    },
    url: () => /ready at (\S+)/.exec(out)?.[1] ?? '',
    /** Host and port of an embedded service. */
    place: (service: 'PostgreSQL' | 'Redis') => new RegExp(`${service} +embedded \\(([^)]+)\\)`).exec(out)?.[1] ?? '',
    /** All its living processes, redis-server and its watchman too. */
    processes,
    pidsOf: (name: string) => processes().flatMap(({ pid, title }) => (title.includes(name) ? [pid] : [])),
  }
  return server
}

/** By their environment; a redis-server overwrites its own, but works in the data folder. Linux only: elsewhere nothing is found. */
function processesOf(tag: string, dataDir: string): { pid: number; title: string }[] {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && (readProc(name, 'environ').includes(tag) || workingFolder(name).startsWith(dataDir)))
    .map((name) => ({ pid: Number(name), title: readProc(name, 'cmdline').replaceAll('\0', ' ') }))
    .filter(({ title }) => title !== '')
}

function workingFolder(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return '' // it ended meanwhile
  }
}

function readProc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return '' // it ended meanwhile
  }
}
