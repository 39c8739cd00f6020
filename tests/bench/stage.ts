import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLog } from '~/platform/log'
import { embeddedRedisUrl } from '~/processes/embedded-redis'
import { findRedis } from '~/processes/find-redis'
import { findFreePort } from '~/processes/ports'
import { migrate } from '../../db/migrate'
import { startNativePostgres } from '../support/native-postgres'
import { bringUpRedis } from '../support/redis'
import { answering, childrenOf, inherited, type Served, serve } from './child'
import { type People, seedAgents, seedPeople, signIn } from './seed'

/** Everything the scenarios measure, up and idle. */
export interface Stage {
  api: Served
  floor: Served
  provider: Served
  databaseUrl: string
  /** The processes of the two stores. */
  stores: { postgres: number; redis: number }
  people: People
  tokens: { reader: string; writer: string }
  /** The reader's. */
  agentIds: string[]
  /** For whatever is written meanwhile; goes with the stage. */
  folder: string
}

export const POOL_SIZE = 10

const MAIN = join(import.meta.dir, '../../src/main.ts')

/** What it starts is on `stack` at once, so that a failure half way leaves nothing behind. */
export async function setStage(stack: AsyncDisposableStack): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'evo-bench-'))
  stack.defer(() => rmSync(folder, { recursive: true, force: true }))
  const [postgres, redis] = await Promise.all([startPostgres(stack), startRedis(stack, folder)])
  const databaseUrl = postgres.url
  await migrate({ url: databaseUrl, log: silentLog })
  const people = await seedPeople(databaseUrl)

  const stores = { DATABASE_URL: databaseUrl, REDIS_URL: redis.url }
  const provider = await serve(join(import.meta.dir, 'provider.ts'), {})
  stack.defer(provider.stop)
  const floor = await serve(join(import.meta.dir, 'floor.ts'), {
    ...stores,
    POOL_SIZE: String(POOL_SIZE),
    BENCH_CLIENT: people.reader.clientId,
    BENCH_HASH: people.passwordHash,
  })
  stack.defer(floor.stop)
  const api = await startApi(stack, { ...stores, OPENAI_BASE_URL: `${provider.url}/v1` }, folder)

  const tokens = { reader: await signIn(api.url, people.reader.email), writer: await signIn(api.url, people.writer.email) }
  const agentIds = await seedAgents(api.url, tokens.reader, people.reader.clientId)
  return { api, floor, provider, databaseUrl, stores: { postgres: postgres.pid, redis: redis.pid }, people, tokens, agentIds, folder }
}

/** Of a store: where it is, and its first process. */
export interface Store {
  url: string
  pid: number
}

export async function startPostgres(stack: AsyncDisposableStack, settings: Record<string, string> = {}): Promise<Store> {
  const server = await startNativePostgres({ shared_buffers: '256MB', autovacuum: 'off', ...settings })
  stack.defer(server.stop)
  return server
}

/** Nothing of it outlives the stack. */
export async function startRedis(stack: AsyncDisposableStack, folder: string): Promise<Store> {
  const binary = await findRedis({ mayInstall: !process.env.EVO_NO_INSTALL, log: silentLog })
  const options = { binary, dataDir: join(folder, 'redis'), port: await findFreePort(), password: 'only-for-the-bench', persistent: false }
  const server = await bringUpRedis(options)
  stack.defer(async () => {
    server.kill('SIGTERM')
    await server.exited
  })
  return { url: embeddedRedisUrl(options), pid: server.pid }
}

/** One API process as in production; no worker. */
export async function startApi(stack: AsyncDisposableStack, env: Record<string, string>, folder: string): Promise<Served> {
  const port = await findFreePort()
  const url = `http://127.0.0.1:${port}`
  const api = startRole(stack, 'api', { PORT: String(port), API_URL: url, ...env }, folder)
  try {
    await answering(`${url}/readyz`, api.isGone)
  } catch (error) {
    throw new Error(`the server does not start: ${(await Bun.file(join(folder, 'api.log')).text()).slice(-2000)}`, { cause: error })
  }
  return { url, pid: childrenOf(api.pid)[0] ?? 0, stop: api.stop }
}

/** The process of one role as in production, with its log in a file. Limits are in force, but out of reach. */
export function startRole(stack: AsyncDisposableStack, role: 'api' | 'worker', env: Record<string, string>, folder: string) {
  const supervisor = Bun.spawn([process.execPath, MAIN], {
    env: {
      ...inherited(),
      NODE_ENV: 'production',
      EVO_ROLE: role,
      EVO_API_PROCESSES: '1',
      EVO_DATA_DIR: join(folder, 'data'),
      LOG_LEVEL: 'info',
      HOST: '127.0.0.1',
      JWT_SECRET_KEY: randomSecret(),
      JWT_EXPIRATION_TIME: '7200',
      ENCRYPTION_KEY: randomSecret(),
      ADMIN_EMAIL: 'admin@example.com',
      // Needed in production; nothing is sent unless there is a worker.
      EMAIL_PROVIDER: 'smtp',
      SMTP_HOST: '127.0.0.1',
      OPENAI_API_KEY: 'sk-bench',
      DATABASE_POOL_SIZE: String(POOL_SIZE),
      RATE_REQUESTS_PER_MINUTE: '100000000',
      RATE_CHATS_PER_MINUTE: '10000000',
      RATE_SIGN_IN_PER_MINUTE: '1000000',
      RUNS_PER_CLIENT: '1000',
      SHUTDOWN_DRAIN_SECONDS: '0',
      SHUTDOWN_GRACE_SECONDS: '5',
      ...env,
    },
    stdin: 'ignore',
    stdout: Bun.file(join(folder, `${role}.log`)),
    stderr: 'inherit',
  })
  const stop = async () => {
    supervisor.kill()
    await supervisor.exited
  }
  stack.defer(stop)
  return { pid: supervisor.pid, isGone: () => supervisor.exitCode !== null, stop }
}

export const randomSecret = () => crypto.getRandomValues(Buffer.alloc(32)).toString('base64url')
