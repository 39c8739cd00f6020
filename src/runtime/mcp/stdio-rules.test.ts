import { expect, test } from 'bun:test'
import { OFFICIAL_MCP_SERVERS } from '../../../db/official-mcp-servers'
import { type StdioConfig, stdioFaults } from './stdio-rules'

const COMMANDS = ['npx', 'uvx', 'mcp-server-memory']
/** That an operator may have listed too. */
const LISTED = ['node', 'python3', 'bun', 'docker']
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

test.each([
  ['node', ['-e', 'x']],
  ['node', ['-pe', 'x']],
  ['node', ['-eprocess.exit()']],
  ['node', ['--run', 'x']],
  ['node', ['-']],
  ['node', ['data:text/javascript,1']],
  ['node', []],
  ['bun', ['x', 'some-package']],
  ['python3', ['-Ic', 'x']],
  ['python3', ['-cimport os']],
  ['python3', ['-mhttp.server']],
  ['docker', []],
  ['docker', ['run', '-v', '/:/h', 'x:1.0']],
  ['docker', ['run', '-v/:/h', 'x:1.0']],
  ['docker', ['run', '-itv', '/:/h', 'x:1.0']],
  ['docker', ['run', '--pid=host', 'x:1.0']],
  ['docker', ['run', '--env-file=/etc/secrets', 'x:1.0']],
  ['docker', ['run', '-i', 'x:latest']],
  ['docker', ['run', '-i']],
  ['docker', ['exec', 'x', 'y']],
  ['docker', ['-H', 'tcp://elsewhere', 'run', 'x:1.0']],
])('MCP-02: %s with the arguments %p is refused, listed or not', (command, args) => {
  expect(stdioFaults({ command, args, env: {} }, LISTED).length).toBeGreaterThan(0)
})

test('an interpreter may run an installed script, a container runtime a pinned image', () => {
  const none = (command: string, args: string[]) => expect(stdioFaults({ command, args, env: {} }, LISTED)).toEqual([])
  none('node', ['/opt/servers/one.js', '--verbose'])
  none('python3', ['/opt/servers/one.py'])
  none('docker', ['run', '-i', '--rm', '--env=API_KEY', 'ghcr.io/some/server:1.2.3', 'stdio'])
  none('docker', ['run', '-i', `mcp/server@sha256:${'0a'.repeat(32)}`])
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
  'XDG_CONFIG_HOME',
  'DOCKER_HOST',
  'COREPACK_NPM_REGISTRY',
  'VIRTUAL_ENV',
  'GLIBC_TUNABLES',
  'npm_config_registry',
  'https_proxy',
  'A=B',
  '',
])('MCP-04: the variable %p is refused', (name) => expect(faultsOf({ env: { [name]: 'x' } })).toHaveLength(1))

test('MCP-04: a server’s own variables pass', () => {
  expect(faultsOf({ env: { GITHUB_PERSONAL_ACCESS_TOKEN: 'x', BRAVE_API_KEY: 'y', GITLAB_API_URL: 'https://gitlab.example' } })).toEqual([])
})
