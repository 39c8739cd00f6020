import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { launchChild, newInstance } from '~/processes/launched'
import { findFreePort } from '~/processes/ports'
import { serving } from './pglite'

/** What scripts may use: `serve` speaks MCP with one tool, `go`, whose calls it hands on; `force` writes without waiting to be read. */
const PREAMBLE = `#!/usr/bin/env node
const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\\n')
const force = (fd, text) => {
  try {
    require('node:fs').writeSync(fd, text)
  } catch {}
}
const serve = (onCall) => {
  let rest = ''
  process.stdin.on('data', (data) => {
    const lines = (rest + data).split('\\n')
    rest = lines.pop()
    for (const line of lines) {
      const { id, method, params } = JSON.parse(line)
      if (method === 'initialize') send({ id, result: { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } } })
      else if (method === 'tools/list') send({ id, result: { tools: [{ name: 'go', inputSchema: { type: 'object' } }] } })
      else if (method === 'tools/call') onCall((text) => send({ id, result: { content: [{ type: 'text', text: String(text) }] } }), params.arguments)
      else if (id !== undefined) send({ id, error: { code: -32601, message: 'Method not found' } })
    }
  })
}
`

/**
 * A runner as its own process, whose commands are these scripts and the reference servers. It makes its own folders in `TMPDIR`, where others that are
 * told to use the same one clear up behind it.
 */
export async function startRunner(scripts: Record<string, string>, env: Record<string, string> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'evo-runner-test-'))
  for (const [name, body] of Object.entries(scripts)) {
    writeFileSync(join(folder, name), PREAMBLE + body)
    chmodSync(join(folder, name), 0o755)
  }
  const servers = ['everything', 'filesystem', 'memory'].map((name) => `mcp-server-${name}`)
  for (const name of servers) symlinkSync(resolve('node_modules/.bin', name), join(folder, name))
  const port = await findFreePort()
  const token = 'Tt7vQ0mX2nRz9LpW4sYc6HdJ8fGb1AeU'
  const commands = [...Object.keys(scripts), ...servers].join(',')
  const runner = launchChild({
    kind: 'runner',
    instance: newInstance('runner'),
    env: {
      PATH: `${folder}:${process.env.PATH}`,
      EVO_ROLE: 'runner',
      HOST: '127.0.0.1',
      PORT: String(port),
      MCP_RUNNER_TOKEN: token,
      MCP_STDIO_COMMANDS: commands,
      LOG_LEVEL: 'silent',
      ...env,
    },
  })
  runner.start()
  await serving(runner)
  return {
    pid: runner.pid,
    url: `http://127.0.0.1:${port}`,
    token,
    /** For the process that is to use it. */
    env: { MCP_RUNNER_URL: `http://127.0.0.1:${port}`, MCP_RUNNER_TOKEN: token, MCP_STDIO_COMMANDS: commands },
    kill: (signal: 'SIGTERM' | 'SIGKILL') => runner.kill(signal),
    async close() {
      runner.kill('SIGTERM')
      await runner.exited
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Waits until they are all gone, and tells which are not. */
export async function survivorsOf(pids: number[], patienceMs = 5000): Promise<number[]> {
  const deadline = performance.now() + patienceMs
  let alive = pids.filter(isAlive)
  while (alive.length > 0 && performance.now() < deadline) {
    await Bun.sleep(25)
    alive = alive.filter(isAlive)
  }
  return alive
}
