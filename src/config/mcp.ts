import type { Reader } from './reader'

export function readMcp(read: Reader) {
  read.group = 'MCP'
  return {
    stdio: read.flag('MCP_STDIO', 'Whether MCP servers of the catalogue may be commands on our host.', true),
    commands: read.list(
      'MCP_STDIO_COMMANDS',
      'Commands that catalogue entries may name: launchers of pinned packages (npx, bunx, uvx) or installed servers.',
      ['npx', 'uvx'],
      { each: parseCommand, expected: 'names of commands, without a path, and no shells' },
    ),
    runnerUrl: read.url(
      'MCP_RUNNER_URL',
      'Where these commands run: the address of a container with EVO_ROLE=runner. Such a container listens on HOST and PORT.',
      undefined,
      { shown: 'with EVO_ROLE=all a process of our own, else none' },
    ),
    runnerToken: read.secret('MCP_RUNNER_TOKEN', 'What the runner knows its callers by, at least 32 bytes.', 'generated with EVO_ROLE=all'),
    maxCommands: read.integer('MCP_STDIO_MAX', 'Commands that one runner runs at the same time.', 32, 1, 1000),
    commandSeconds: read.integer('MCP_STDIO_SECONDS', 'Longest life of one command.', 900, 1, 86_400),
    commandMegabytes: read.integer('MCP_STDIO_MEMORY_MB', 'Memory of one command with all that it starts.', 512, 16, 65_536),
    connectTimeoutMs: read.integer('MCP_CONNECT_TIMEOUT_MS', 'Until an MCP server must have told its tools.', 20_000, 100, 300_000),
    idleSeconds: read.integer('MCP_IDLE_SECONDS', 'How long a connection to a remote MCP server is kept for the next run.', 60, 0, 3600),
    maxConnections: read.integer(
      'MCP_MAX_CONNECTIONS',
      'Remote MCP servers that one process is connected to at the same time.',
      200,
      1,
      10_000,
    ),
  }
}

/** A shell is never an MCP server. */
const parseCommand = (raw: string) => (/^(?!(?:ba|da|z|k|fi|c|tc)?sh$)[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(raw) ? raw : undefined)
