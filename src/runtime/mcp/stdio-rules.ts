import { type FieldError, pointerPart } from '~/platform/errors'

export interface StdioConfig {
  command: string
  args: string[]
  env: Record<string, string>
}

const MAX_ARGS = 64
const MAX_TEXT = 4000
/** How each launcher names a package: exactly one version, from its registry. */
const PACKAGE: Record<string, RegExp> = {
  npx: /^(?:@[a-z0-9][a-z0-9._-]*\/)?[a-z0-9][a-z0-9._-]*@\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$/,
  bunx: /^(?:@[a-z0-9][a-z0-9._-]*\/)?[a-z0-9][a-z0-9._-]*@\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$/,
  uvx: /^[a-z0-9][a-z0-9._-]*(?:==|@)\d+(?:\.\d+)+(?:[a-z0-9.]*)$/i,
}
const LAUNCHER_FLAGS = new Set(['-y', '--yes', '-q', '--quiet'])
/** Their options can bring code of their own, in more spellings than can be listed: what they run is an installed script. */
const INTERPRETER = /^(?:node|nodejs|bun|deno|python[\d.]*|pypy[\d.]*|ruby|perl|php|lua|tsx|ts-node)$/
const CONTAINER_RUNTIME = /^(?:docker|podman|nerdctl)$/
/** Nothing of the host's; a variable by its name, whose value is in the entry's `env`. */
const CONTAINER_OPTION = /^(?:-i|--interactive|--rm|--init|--env=[A-Za-z_][A-Za-z0-9_]{0,127})$/
const PINNED_IMAGE = /^[a-z0-9][a-z0-9._/:-]*(?::v?\d+\.\d+[\w.-]*|@sha256:[0-9a-f]{64})$/
/** What makes an interpreter, a package launcher or a container runtime do something else than its server. */
const FORBIDDEN_ARGS =
  /^(?:-c|--call|-e|--eval|-p|--print|--package|-r|--require|--import|--loader|--experimental-loader|--preload|--inspect(?:-brk|-wait)?|-m|--from|--with|--index-url|--registry|--node-options|--shell|--script-shell|--privileged|-v|--volume|--mount)(?:=|$)/i
const FROM_ELSEWHERE = /(?:^|@)(?:git\+|git:|https?:|ssh:|file:|github:|gitlab:|bitbucket:)/i
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/
/** Variables that decide what is executed, or where from. */
const FORBIDDEN_ENV =
  /^(?:LD_|DYLD_|NODE_|BUN_|DENO_|TSX_|TS_NODE_|ELECTRON_|PYTHON|VIRTUAL_ENV$|CONDA_|PERL|RUBY|PHP|LUA_|JAVA_|JDK_|_JAVA|CLASSPATH$|UV_|PIP_|NPM_CONFIG_|YARN_|COREPACK_|DOCKER_|CONTAINER_|XDG_|GIT_|EVO_|BASH_FUNC_|PATH$|HOME$|USERPROFILE$|SHELL$|ENV$|BASH_ENV$|IFS$|TMPDIR$|PS4$|PROMPT_COMMAND$|GCONV_PATH$|GLIBC_|MALLOC_|SSL_CERT_|OPENSSL_|(?:REQUESTS|CURL)_CA_BUNDLE$|HOSTALIASES$|LOCALDOMAIN$|RES_OPTIONS$|(?:HTTPS?|ALL|NO)_PROXY$)/i

/**
 * What is wrong with a command of the catalogue, with pointers below `pointer`. Commands come from the operator's list, start no shell, and name
 * their package, image or script exactly; checked when an entry is saved, and again by the runner before it starts anything.
 */
export function stdioFaults(
  { command, args, env }: StdioConfig,
  allowedCommands: readonly string[],
  pointer = '/config_json',
): FieldError[] {
  const faults: FieldError[] = []
  const fault = (at: string, code: string, message: string) => faults.push({ pointer: `${pointer}/${at}`, code, message })
  if (!allowedCommands.includes(command)) fault('command', 'choice', 'The command is not on the list of this server (MCP_STDIO_COMMANDS)')
  if (args.length > MAX_ARGS) fault('args', 'length', `At most ${MAX_ARGS} arguments`)
  args.slice(0, MAX_ARGS).forEach((arg, index) => {
    if (arg.length > MAX_TEXT || arg.includes('\0')) fault(`args/${index}`, 'format', 'The argument is too long or has a NUL character')
    else if (FORBIDDEN_ARGS.test(arg)) fault(`args/${index}`, 'forbidden', 'This argument could run something else than the server')
    else if (FROM_ELSEWHERE.test(arg) && PACKAGE[command] !== undefined)
      fault(`args/${index}`, 'forbidden', 'A package comes from its registry, not from an address')
  })
  const started = startedFault(command, args)
  if (started !== undefined) fault(`args/${started.index}`, 'pinned', started.message)
  for (const [name, value] of Object.entries(env)) {
    const at = `env/${pointerPart(name)}`
    if (!ENV_NAME.test(name) || FORBIDDEN_ENV.test(name)) fault(at, 'forbidden', 'This variable is not allowed')
    else if (value.length > MAX_TEXT * 2 || value.includes('\0')) fault(at, 'format', 'The value is too long or has a NUL character')
  }
  return faults
}

/** What a launcher, an interpreter or a container runtime is told to start. Other commands are the servers themselves. */
function startedFault(command: string, args: string[]): { index: number; message: string } | undefined {
  const packageRule = PACKAGE[command]
  if (packageRule !== undefined) {
    const at = args.findIndex((arg) => !LAUNCHER_FLAGS.has(arg))
    if (at !== -1 && packageRule.test(args[at] ?? '')) return undefined
    return { index: Math.max(at, 0), message: 'The package must be named with its exact version, such as server-name@1.2.3' }
  }
  if (INTERPRETER.test(command) && !args[0]?.startsWith('/'))
    return { index: 0, message: 'The first argument of an interpreter must be the path of an installed script' }
  if (CONTAINER_RUNTIME.test(command)) {
    const at = args.findIndex((arg, index) => !(index === 0 ? arg === 'run' : CONTAINER_OPTION.test(arg)))
    if (at <= 0 || !PINNED_IMAGE.test(args[at] ?? ''))
      return {
        index: Math.max(at, 0),
        message: 'A container is told to `run`, with -i, --rm, --init and --env=NAME alone, an image of an exact version',
      }
  }
  return undefined
}
