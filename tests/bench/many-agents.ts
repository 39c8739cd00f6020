import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { sql } from 'drizzle-orm'
import { silentLog } from '~/platform/log'
import { createSecrets } from '~/platform/secrets'
import { migrate } from '../../db/migrate'
import type { Served } from './child'
import { machineLine, ofRounds, print, round } from './report'
import { alternate, median, type Side } from './rounds'
import { runToEnd } from './run-to-end'
import { openDatabase, signIn } from './seed'
import { type Crowd, seedMany } from './seed-many'
import { randomSecret, startApi, startPostgres, startRedis } from './stage'
import { demandWrk, type Load, type Measured, runWrk } from './wrk'

/**
 * Reading among very many agents against reading among those of one client: two databases in one PostgreSQL, a server process for each, asked by turns.
 */
const USAGE = `bun run bench:seed [--agents n] [--clients n] [--rounds n] [--seconds n]
  --agents   in the large database (1000000)
  --clients  that they belong to, equally many each (1000); the small database holds the agents of one
  --rounds   rounds that count, after one to warm up (5)
  --seconds  load on one side in one round (5)`

interface Options {
  agents: number
  clients: number
  rounds: number
  seconds: number
}

interface Place {
  api: Served
  loads: { get: Load; list: Load }
}

const PAGE = 50
const WARM_UP_SECONDS = 10

await runToEnd(() => readOptions(process.argv.slice(2)), run, USAGE)

/** @throws Error naming what is not understood */
function readOptions(args: string[]): Options {
  const option = (value: string) => ({ type: 'string', default: value }) as const
  const { values } = parseArgs({
    args,
    options: { agents: option('1000000'), clients: option('1000'), rounds: option('5'), seconds: option('5') },
  })
  const read = (name: keyof Options, most: number) => {
    const value = Number(values[name])
    if (!Number.isInteger(value) || value < 1 || value > most) throw new Error(`--${name} must be a whole number from 1 to ${most}`)
    return value
  }
  const options = {
    agents: read('agents', 10_000_000),
    clients: read('clients', 10_000),
    rounds: read('rounds', 100),
    seconds: read('seconds', 600),
  }
  if (options.agents < options.clients) throw new Error('--agents must be at least --clients')
  return options
}

async function run(stack: AsyncDisposableStack, options: Options) {
  const { agents, clients, rounds, seconds } = options
  await demandWrk()
  process.stdout.write(`${await machineLine()}\n`)
  const folder = mkdtempSync(join(tmpdir(), 'evo-bench-'))
  stack.defer(() => rmSync(folder, { recursive: true, force: true }))
  const { url: postgresUrl } = await startPostgres(stack)
  const each = Math.floor(agents / clients)
  const sizes = { large: { agents: each * clients, clients }, small: { agents: each, clients: 1 } }
  const places = { large: await setUp('large', sizes.large), small: await setUp('small', sizes.small) }
  for (const [what, title] of [
    ['get', 'GET /api/v1/agents/{id}'],
    ['list', `GET /api/v1/agents/?limit=${PAGE} (of ${each})`],
  ] as const) {
    const on =
      ({ api, loads }: Place): Side<Measured> =>
      (turn) =>
        runWrk(api.url, loads[what], { seconds: turn === 0 ? Math.max(seconds, WARM_UP_SECONDS) : seconds, folder })
    const results = await alternate(rounds, { server: on(places.large), floor: on(places.small) })
    const rowOf = (side: string, measured: Measured[]) => {
      const middle = (figure: 'perSecond' | 'p50Ms' | 'p99Ms') => round(median(measured.map((each) => each[figure])))
      return { side, cells: { 'requests/s': middle('perSecond'), 'p50 ms': middle('p50Ms'), 'p99 ms': middle('p99Ms') } }
    }
    print({
      title: `${title} among ${sizes.large.agents} agents of ${clients} clients, and among ${sizes.small.agents} of one`,
      notes: [
        `wrk, 32 connections, 50 users; ${rounds} rounds of ${seconds} s a side by turns, after one to warm up; one API process a side`,
      ],
      rows: [
        rowOf(
          'large',
          results.map(({ server }) => server),
        ),
        rowOf(
          'small',
          results.map(({ floor }) => floor),
        ),
      ],
      verdicts: [
        { what: 'p99, large : small', ...ofRounds(results.map(({ server, floor }) => server.p99Ms / floor.p99Ms)), goal: { atMost: 1.5 } },
      ],
    })
  }

  async function setUp(name: string, size: { agents: number; clients: number }): Promise<Place> {
    const startedAt = performance.now()
    const databaseUrl = await createDatabaseOf(postgresUrl, name)
    const encryptionKey = randomSecret()
    const crowd = await seedMany(databaseUrl, createSecrets({ keyEncryptionKeys: [encryptionKey] }), size)
    process.stdout.write(
      `${name}: ${size.agents} agents of ${size.clients} clients in ${round((performance.now() - startedAt) / 1000)} s\n`,
    )
    const own = join(folder, name)
    mkdirSync(own)
    const { url: redisUrl } = await startRedis(stack, own)
    const api = await startApi(stack, { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl, ENCRYPTION_KEY: encryptionKey }, own)
    return { api, loads: await loadsOf(api, crowd) }
  }
}

async function createDatabaseOf(postgresUrl: string, name: string): Promise<string> {
  const server = openDatabase(postgresUrl)
  try {
    await server.db.execute(sql`create database ${sql.identifier(name)}`)
  } finally {
    await server.close()
  }
  const url = new URL(postgresUrl)
  url.pathname = `/${name}`
  await migrate({ url: url.href, log: silentLog })
  return url.href
}

/** Everybody asks with a token of their own, for their own agents. */
async function loadsOf(api: Served, { askers }: Crowd): Promise<Place['loads']> {
  const asking: (Crowd['askers'][number] & { headers: Record<string, string> })[] = []
  // One after the other: the server refuses a crowd that signs in at once.
  for (const asker of askers) asking.push({ ...asker, headers: { authorization: `Bearer ${await signIn(api.url, asker.email)}` } })
  const gets = asking.flatMap(({ agentIds, headers }) => agentIds.map((id) => ({ path: `/api/v1/agents/${id}`, headers })))
  return {
    // In no order, so that neighbours in time are no neighbours in the table.
    get: by(gets.toSorted((one, other) => one.path.localeCompare(other.path))),
    list: by(
      asking.map(({ clientId, headers }) => ({ path: `/api/v1/agents/?limit=${PAGE}`, headers: { ...headers, 'x-client-id': clientId } })),
    ),
  }
}

function by(asks: { path: string; headers: Record<string, string> }[]): Load {
  return { method: 'GET', paths: asks.map(({ path }) => path), headers: {}, headersOf: asks.map(({ headers }) => headers) }
}
