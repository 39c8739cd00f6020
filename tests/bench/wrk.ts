import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Load {
  method: 'GET' | 'POST'
  /** Asked for by turns. */
  paths: string[]
  headers: Record<string, string>
  /** Further headers of each path, in the same order. */
  headersOf?: Record<string, string>[]
  body?: string
  /** Between two requests of a connection; absent, the next one follows at once. */
  pauseMs?: number
}

export interface Measured {
  requests: number
  perSecond: number
  p50Ms: number
  p99Ms: number
}

const CONNECTIONS = 32

/**
 * As many requests as the server answers, unless there are pauses, over 32 connections from one thread: the cores belong to the servers.
 * @throws Error when an answer is no 2xx or does not come: such a figure would be worth nothing.
 */
export async function runWrk(url: string, load: Load, { seconds, folder }: { seconds: number; folder: string }): Promise<Measured> {
  const script = join(folder, 'load.lua')
  writeFileSync(script, luaOf(load))
  const wrk = Bun.spawn(['wrk', '-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--timeout', '5s', '-s', script, url], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const [output, code] = await Promise.all([new Response(wrk.stdout).text(), wrk.exited])
  const report = /^RESULT (.*)$/m.exec(output)?.[1]
  if (code !== 0 || report === undefined) throw new Error(`wrk failed: ${output}`)
  const { requests, micros, p50, p99, errors } = JSON.parse(report) as Record<'requests' | 'micros' | 'p50' | 'p99' | 'errors', number>
  if (errors > 0) throw new Error(`${errors} of ${requests} requests to ${url}${load.paths[0]} failed`)
  return { requests, perSecond: requests / (micros / 1e6), p50Ms: p50 / 1000, p99Ms: p99 / 1000 }
}

/** Requests are formatted once, so that wrk itself costs little. */
const luaOf = ({ method, paths, headers, headersOf, body, pauseMs }: Load) => `
local headers = { ${luaFields(headers)} }
local of = { ${(headersOf ?? []).map((own) => `{ ${luaFields({ ...headers, ...own })} }`).join(', ')} }
local paths = { ${paths.map(lua).join(', ')} }
local requests = {}
local at = 0

function init()
  for i, path in ipairs(paths) do requests[i] = wrk.format(${lua(method)}, path, of[i] or headers, ${body === undefined ? 'nil' : lua(body)}) end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

${pauseMs === undefined ? '' : `function delay() return ${pauseMs} end`}

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('RESULT {"requests":%d,"micros":%d,"p50":%d,"p99":%d,"errors":%d}\\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
`

const luaFields = (fields: Record<string, string>) =>
  Object.entries(fields)
    .map(([name, value]) => `[${lua(name)}] = ${lua(value)}`)
    .join(', ')

/** JSON's escapes of printable ASCII are Lua's. */
const lua = (text: string) => JSON.stringify(text)

/** @throws Error saying what to install */
export async function demandWrk(): Promise<void> {
  if (Bun.which('wrk') !== null) return
  if (process.getuid?.() === 0 && Bun.which('apt-get') !== null) {
    process.stderr.write('installing wrk with apt-get\n')
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    await Bun.$`apt-get -qq update`.env(env).nothrow().quiet()
    await Bun.$`apt-get -qq -y --no-install-recommends install wrk`.env(env).nothrow().quiet()
  }
  if (Bun.which('wrk') === null) throw new Error('wrk makes the load and was not found: install it (sudo apt-get install wrk)')
}
