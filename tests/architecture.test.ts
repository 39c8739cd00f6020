import { describe, expect, test } from 'bun:test'
import { dirname, join } from 'node:path'
import { Glob } from 'bun'

/**
 * Who may import whom. Imports point one way: main → processes → app → routes → service → queries → table; everything may use the platform, the
 * platform only itself. Types are free: they vanish before anything runs, and so from this scan.
 * What a rule finds beyond its exceptions fails; so does an exception that nothing needs any more.
 */

const SRC = join(import.meta.dir, '../src')

/** `from` and `to` without `src/` and `.ts`; a package keeps its name. */
interface Import {
  from: string
  to: string
  /** Written with `./` or `../`. */
  relative: boolean
  external: boolean
}

const transpiler = new Bun.Transpiler({ loader: 'ts' })
const files = [...new Glob('**/*.ts').scanSync(SRC)].filter((path) => !/(\.test|\/testing)\.ts$/.test(path)).toSorted()
const texts = new Map(await Promise.all(files.map(async (path) => [path, await Bun.file(join(SRC, path)).text()] as const)))
const imports = files.flatMap((path) => transpiler.scanImports(texts.get(path) ?? '').map((found) => resolveImport(path, found.path)))

function resolveImport(path: string, specifier: string): Import {
  const relative = specifier.startsWith('.')
  const external = !relative && !specifier.startsWith('~/')
  const to = external ? specifier : relative ? join(dirname(path), specifier) : specifier.slice(2)
  return { from: path.replace(/\.ts$/, ''), to: to.replace(/\.ts$/, ''), relative, external }
}

/** `features/agents`, else the first folder or file: `platform`, `runtime`, `processes`, `config`, `app`, `main`. */
const areaOf = (path: string) => /^features\/[^/]+|^[^/]+/.exec(path)?.[0] ?? path
const isIn = (path: string, folder: string) => path === folder || path.startsWith(`${folder}/`)
/** The statements of a feature are one `queries`, or a folder of that name. */
const fileOf = (path: string) => (path.includes('/queries/') ? 'queries' : (path.split('/').at(-1) ?? path))

interface Rule {
  guarantee: string
  breaks(found: Import): boolean
  /** `from -> to`, and why it may stay for now. */
  exceptions?: Record<string, string>
}

const SQL = /^(drizzle-orm|postgres)(\/|$)/
const HTTP = /^(elysia|@elysiajs\/)/

const DIRECTIONS: Rule[] = [
  {
    guarantee: 'the platform knows nothing of the product',
    breaks: ({ from, to, external }) => isIn(from, 'platform') && !external && !isIn(to, 'platform'),
  },
  {
    guarantee: 'the runtime knows itself and the platform, and neither HTTP nor SQL nor Redis',
    breaks: ({ from, to, external }) =>
      isIn(from, 'runtime') &&
      (external ? SQL.test(to) || HTTP.test(to) || to === 'ioredis' : !isIn(to, 'runtime') && !RUNTIME_MAY_USE.has(to)),
  },
  {
    guarantee: 'settings are read by the composition alone',
    breaks: ({ from, to }) => isIn(to, 'config') && !['main', 'processes', 'config'].includes(areaOf(from)),
  },
  {
    guarantee: 'the settings know nothing but how the platform parses them',
    breaks: ({ from, to, external }) => isIn(from, 'config') && !external && !isIn(to, 'config') && !isIn(to, 'platform'),
  },
  {
    guarantee: 'features know neither the app nor the processes',
    breaks: ({ from, to, external }) =>
      isIn(from, 'features') && !external && !['features', 'platform', 'runtime'].some((folder) => isIn(to, folder)),
  },
  {
    guarantee: 'routes are known to the app alone, workers to the processes alone',
    breaks: ({ from, to }) =>
      isIn(to, 'features') && ((fileOf(to) === 'routes' && from !== 'app') || (fileOf(to) === 'worker' && areaOf(from) !== 'processes')),
  },
  {
    guarantee: 'the app joins routes and nothing else of a feature',
    breaks: ({ from, to, external }) => from === 'app' && !external && !isIn(to, 'platform') && fileOf(to) !== 'routes',
    exceptions: { 'app -> features/mail/mailbox-page': 'a development page: its route and its HTML are one small file' },
  },
]

const RUNTIME_MAY_USE = new Set(['platform/clock', 'platform/errors', 'platform/log', 'platform/secret-texts', 'platform/unless-aborted'])

const LAYERS: Rule[] = [
  {
    guarantee: 'routes reach the database through their service',
    breaks: ({ from, to }) => fileOf(from) === 'routes' && isIn(from, 'features') && ['queries', 'table'].includes(fileOf(to)),
  },
  {
    guarantee: 'queries and tables know nothing above them',
    breaks: ({ from, to }) =>
      isIn(from, 'features') &&
      ((fileOf(from) === 'queries' && isIn(to, 'features') && !['queries', 'table'].includes(fileOf(to))) ||
        (fileOf(from) === 'table' && isIn(to, 'features') && fileOf(to) !== 'table')),
  },
  {
    guarantee: 'HTTP is known to routes and schemas alone',
    breaks: ({ from, to }) => isIn(from, 'features') && HTTP.test(to) && !['routes', 'schema'].includes(fileOf(from)),
    exceptions: {
      'features/mail/mailbox-page -> elysia': 'a development page: its route and its HTML are one small file',
      'features/runs/event-stream -> elysia': 'how a run reads as server-sent events, for the routes of runs and chat',
      'features/sessions/event-view -> elysia': 'the shape of an event beside the function that makes it',
    },
  },
  {
    guarantee: 'SQL is known to queries and tables alone',
    breaks: ({ from, to }) => isIn(from, 'features') && SQL.test(to) && !['queries', 'table'].includes(fileOf(from)),
    exceptions: {
      'features/auth/link-tokens -> drizzle-orm': 'issuing a link is its one statement',
      'features/auth/one-time-token -> drizzle-orm': 'redeeming a link is its one statement',
      'features/mail/compose -> drizzle-orm': 'one look at the recipient',
      'features/mail/mailbox-page -> drizzle-orm': 'a development page: one statement',
    },
  },
  {
    guarantee: "of another feature only its tables and shapes are used; features otherwise meet as each other's deps",
    breaks: ({ from, to }) =>
      isIn(from, 'features') && isIn(to, 'features') && areaOf(from) !== areaOf(to) && !['table', 'schema'].includes(fileOf(to)),
    exceptions: {
      'features/a2a/task-updates -> features/runs/log-event': 'a task shows the events of its run',
      'features/auth/email-change -> features/users/queries': 'an address is a column of its user, changed in the same transaction',
      'features/auth/own-password -> features/users/queries': 'a password is a column of its user, changed in the same transaction',
      'features/auth/password-check -> features/users/queries': 'a hash of another day is replaced in its user',
      'features/auth/registration -> features/users/queries': 'signing up is about users, in the same transaction',
      'features/auth/sign-in -> features/users/queries': 'signing in is about users',
      'features/chat/routes -> features/runs/event-stream': 'a chat streams its run',
      'features/chat/schema -> features/sessions/event-view': 'a chat answers with events: a shape',
      'features/chat/service -> features/runs/event-stream': 'a chat answers with the events of its run',
      'features/chat/service -> features/runs/log-event': 'a chat answers with the events of its run',
      'features/chat/service -> features/sessions/event-view': 'a chat answers with events: a shape',
      'features/chat/socket -> features/runs/log-event': 'a chat says again what its run waits for',
      'features/chat/socket-face -> features/runs/event-stream': 'a chat shows the events of its run',
      'features/chat/socket-face -> features/runs/log-event': 'a chat shows the events of its run',
      'features/chat/socket-face -> features/sessions/event-view': 'a chat answers with events: a shape',
      'features/runs/event-stream -> features/sessions/event-view': 'a run streams events: a shape',
      'features/runs/start -> features/sessions/session-id': 'a run finds its session by id',
    },
  },
]

for (const [layer, rules] of Object.entries({ DIRECTIONS, LAYERS }))
  describe(layer.toLowerCase(), () => {
    for (const { guarantee, breaks, exceptions = {} } of rules)
      test(guarantee, () => {
        const found = new Set(imports.filter(breaks).map(({ from, to }) => `${from} -> ${to}`))
        expect([...found].toSorted()).toEqual(Object.keys(exceptions).toSorted())
      })
  })

test('a library is known to one place, so that it can be replaced there', () => {
  const strayed = imports.flatMap(({ from, to }) =>
    Object.entries(HOMES).flatMap(([library, home]) => (isIn(to, library) && !from.startsWith(home) ? [`${from} -> ${to}`] : [])),
  )
  expect(strayed).toEqual([])
})

const HOMES = {
  postgres: 'platform/db',
  ioredis: 'platform/redis',
  'ipaddr.js': 'platform/outbound/',
  jose: 'platform/tokens',
  '@elysiajs/jwt': 'platform/tokens',
  '@elysiajs/cors': 'app',
  '@elysiajs/openapi': 'platform/http/docs',
  ai: 'runtime/model/',
  '@ai-sdk': 'runtime/model/',
  '@modelcontextprotocol': 'runtime/mcp/',
  '@electric-sql/pglite': 'processes/pglite/',
  'bun:sqlite': 'processes/lock-file',
  '@a2a-js/sdk': 'runtime/a2a/',
  'prom-client': 'platform/metrics',
  nodemailer: 'features/mail/smtp',
  '@sendgrid': 'features/mail/sendgrid',
}

test('imports form no cycle, neither between files nor between features', () => {
  const inner = imports.filter(({ external }) => !external)
  expect(cyclesIn(inner.map(({ from, to }) => [from, to]))).toEqual([])
  const between = inner.filter(({ from, to }) => isIn(from, 'features') && isIn(to, 'features') && areaOf(from) !== areaOf(to))
  expect(cyclesIn(between.map(({ from, to }) => [areaOf(from), areaOf(to)]))).toEqual([])
})

/** Each cycle once, as `a -> b -> a`. */
function cyclesIn(edges: [string, string][]): string[] {
  const next = Map.groupBy(edges, ([from]) => from)
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (node: string, path: string[]) => {
    const at = path.indexOf(node)
    if (at !== -1) cycles.push([...path.slice(at), node].join(' -> '))
    if (at !== -1 || done.has(node)) return
    for (const to of new Set((next.get(node) ?? []).map(([, target]) => target))) visit(to, [...path, node])
    done.add(node)
  }
  for (const node of next.keys()) visit(node, [])
  return cycles
}

test('imports are relative inside a folder and start with ~/ across', () => {
  const odd = imports.filter(
    ({ from, to, relative, external }) =>
      // src/*.ts are the root of all, and db/ lies outside of src.
      !external && from.includes('/') && !to.startsWith('../') && relative !== (areaOf(from) === areaOf(to)),
  )
  expect(odd.map(({ from, to }) => `${from} -> ${to}`)).toEqual([])
})

test('the environment is read by main, the settings and the processes alone', () => {
  const readers = files.filter((path) => /\b(process|Bun|import\.meta)\.env\b/.test(texts.get(path) ?? ''))
  expect(readers.filter((path) => !/^(main\.ts|config(\.ts|\/)|processes\/)/.test(path))).toEqual([])
})

test('no file is named after nothing in particular', () => {
  expect(files.filter((path) => /(^|[/-])(utils?|helpers?|commons?|managers?|base|index|misc)\.ts$/.test(path))).toEqual([])
})

test('no file is longer than 300 lines, and no list of test cases than 500', async () => {
  const root = join(SRC, '..')
  const paths = [...new Glob('{src,db,tests}/**/*.ts').scanSync(root)].filter((path) => !/node_modules|\/generated\//.test(path)).toSorted()
  const sizes = await Promise.all(
    paths.map(async (path) => ({ path, lines: (await Bun.file(join(root, path)).text()).split('\n').length - 1 })),
  )
  const long = sizes.filter(({ path, lines }) => lines > (path.endsWith('.test.ts') ? 500 : 300))
  expect(long.map(({ path }) => path)).toEqual(Object.keys(LONG).toSorted())
})

const LONG: Record<string, string> = {
  'tests/faults/database.test.ts': 'every fault of F-08 to F-13, with one server and proxy for all: to be split by fault',
}
