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
  }
}

/** A shell is never an MCP server. */
const parseCommand = (raw: string) => (/^(?!(?:ba|da|z|k|fi|c|tc)?sh$)[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(raw) ? raw : undefined)
