import { expect, test } from 'bun:test'
import { OFFICIAL_MCP_SERVERS } from '../../../db/official-mcp-servers'
import { type StdioConfig, stdioFaults } from './stdio-rules'

const COMMANDS = ['npx', 'uvx', 'mcp-server-memory']
const faultsOf = (config: Partial<StdioConfig>) =>
  stdioFaults({ command: 'npx', args: ['-y', 'some-package@1.2.3'], env: {}, ...config }, COMMANDS).map(({ pointer }) => pointer)

test.each(OFFICIAL_MCP_SERVERS.map((server) => [server.name, server.configJson] as const))(
  'the official entry %s may be started',
  (_, config) => expect(faultsOf(config)).toEqual([]),
)

test.each(['sh', 'bash', '/bin/sh', 'node', 'python', 'docker', 'npx ', '../npx', '', 'uvx;sh'])(
  'MCP-02: the command %p is not on the list',
  (command) => expect(faultsOf({ command })).toContain('/config_json/command'),
)

test.each([
  [['--yes', 'some-package@latest']],
  [['--yes', 'some-package']],
  [['some-package@^1.2.3']],
  [['some-package@1.2']],
  [['some-package@npm:other@1.2.3']],
  [['some-package@git+https://example.com/x.git']],
  [['https://example.com/x.tgz']],
  [['./local@1.2.3']],
  [[]],
  [['-y']],
  [['--package=x@1.2.3', 'some-package@1.2.3']],
  [['-c', 'some-package@1.2.3']],
  [['some-package@1.2.3', '--require', './x.js']],
  [['some-package@1.2.3', '--eval=1']],
  [['some-package@1.2.3', '@git+https://example.com/x']],
])('MCP-03: the arguments %p are refused', (args) => {
  expect(faultsOf({ args }).every((pointer) => pointer.startsWith('/config_json/args/'))).toBe(true)
  expect(faultsOf({ args }).length).toBeGreaterThan(0)
})

test('MCP-03: other launchers have rules of their own, installed commands none but the general ones', () => {
  expect(faultsOf({ command: 'uvx', args: ['mcp-server-fetch'] })).toEqual(['/config_json/args/0'])
  expect(faultsOf({ command: 'uvx', args: ['mcp-server-fetch==2025.4.7'] })).toEqual([])
  expect(faultsOf({ command: 'mcp-server-memory', args: [] })).toEqual([])
  expect(faultsOf({ command: 'mcp-server-memory', args: ['--require', 'x'] })).toEqual(['/config_json/args/0'])
})

test.each([
  'LD_PRELOAD',
  'NODE_OPTIONS',
  'BUN_OPTIONS',
  'PATH',
  'PYTHONSTARTUP',
  'BASH_ENV',
  'npm_config_registry',
  'https_proxy',
  'A=B',
  '',
])('MCP-04: the variable %p is refused', (name) => expect(faultsOf({ env: { [name]: 'x' } })).toHaveLength(1))

test('MCP-04: a server’s own variables pass', () => {
  expect(faultsOf({ env: { GITHUB_PERSONAL_ACCESS_TOKEN: 'x', BRAVE_API_KEY: 'y', GITLAB_API_URL: 'https://gitlab.example' } })).toEqual([])
})
