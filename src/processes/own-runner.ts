import { randomBytes } from 'node:crypto'
import type { Config } from '~/config'
import { findFreePort } from './ports'

type Env = Record<string, string | undefined>

/**
 * The environments of the server's processes and of its runner; none where no commands may run, or elsewhere. A runner of our own listens on a free
 * loopback port and is known to nobody else. Its environment holds no secret of the server: what it starts could read it there.
 */
export async function withRunner({ role, mcp }: Config, env: Env): Promise<{ env: Env; runnerEnv: Env | undefined }> {
  if (role === 'runner') return { env, runnerEnv: pick(env, ['HOST', 'PORT', 'MCP_RUNNER_TOKEN']) }
  if (role !== 'all' || !mcp.stdio || mcp.runnerUrl !== undefined) return { env, runnerEnv: undefined }
  const port = String(await findFreePort())
  const token = randomBytes(32).toString('base64url')
  return {
    env: { ...env, MCP_RUNNER_URL: `http://127.0.0.1:${port}`, MCP_RUNNER_TOKEN: token },
    runnerEnv: { ...pick(env), HOST: '127.0.0.1', PORT: port, MCP_RUNNER_TOKEN: token },
  }
}

/** What the runner itself reads, and what its commands need of the machine. */
const PASSED = [
  'PATH',
  'TMPDIR',
  'NODE_EXTRA_CA_CERTS',
  'NODE_ENV',
  'LOG_LEVEL',
  'DEBUG',
  'TOOL_RESPONSE_BYTES',
  'SHUTDOWN_GRACE_SECONDS',
  'MCP_STDIO',
  'MCP_STDIO_COMMANDS',
  'MCP_STDIO_MAX',
  'MCP_STDIO_SECONDS',
  'MCP_STDIO_MEMORY_MB',
]

const pick = (env: Env, more: string[] = []): Env => ({
  ...Object.fromEntries([...PASSED, ...more].map((name) => [name, env[name]])),
  EVO_ROLE: 'runner',
})
