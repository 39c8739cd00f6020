import { afterAll } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { silentLog } from '~/platform/log'
import { embeddedRedisUrl } from '~/processes/embedded-redis'
import { findRedis } from '~/processes/find-redis'
import type { Launched } from '~/processes/launched'
import { findFreePort } from '~/processes/ports'
import { migrate } from '../../db/migrate'
import { startPglite } from './pglite'
import { bringUpRedis } from './redis'

/**
 * Preloaded by `bun test` (bunfig.toml): PostgreSQL and Redis for this test process, migrated, in the environment as DATABASE_URL and REDIS_URL.
 * TEST_DATABASE_URL and TEST_REDIS_URL name servers that are used instead; of the workers of `--parallel` each has a database of its own there,
 * `evo_test_1` and so on, made anew by each run.
 */
export interface Services {
  databaseUrl: string
  redisUrl: string
  /** `pglite` has one session: no test may wait in one transaction for another. */
  kind: 'pglite' | 'native'
}

const launched: Launched[] = []
/** Any constant. */
const WORKERS_LOCK = 0x7e57

export const services: Services = await startServices()

async function startServices(): Promise<Services> {
  const folder = mkdtempSync(join(tmpdir(), 'evo-test-'))
  // Whatever misses this, a SIGKILL too, is noticed by the processes themselves: they end when we are gone.
  process.on('exit', () => endAll(folder))
  const { TEST_DATABASE_URL, TEST_REDIS_URL, JEST_WORKER_ID: worker } = process.env
  // A worker's hooks run after each of its files, and the next file needs the services still.
  if (worker === undefined) afterAll(() => endAll(folder))
  const [databaseUrl, redisUrl] = await Promise.all([
    TEST_DATABASE_URL ? ownDatabase(TEST_DATABASE_URL, worker) : startPostgres(folder),
    TEST_REDIS_URL ? ownRedis(TEST_REDIS_URL, worker) : startRedis(folder),
  ])
  Object.assign(process.env, { NODE_ENV: 'test', DATABASE_URL: databaseUrl, REDIS_URL: redisUrl })
  return { databaseUrl, redisUrl, kind: TEST_DATABASE_URL ? 'native' : 'pglite' }
}

async function startPostgres(folder: string): Promise<string> {
  const { process, url } = await startPglite(folder)
  launched.push(process)
  await migrate({ url, log: silentLog })
  return url
}

async function startRedis(folder: string): Promise<string> {
  const binary = await findRedis({ mayInstall: !process.env.EVO_NO_INSTALL, log: silentLog })
  const options = { binary, dataDir: join(folder, 'redis'), port: await findFreePort(), password: 'only-for-tests', persistent: false }
  launched.push(await bringUpRedis(options))
  return embeddedRedisUrl(options)
}

async function ownDatabase(serverUrl: string, worker: string | undefined): Promise<string> {
  if (worker === undefined) {
    await migrate({ url: serverUrl, log: silentLog })
    return serverUrl
  }
  const url = new URL(serverUrl)
  const name = `evo_test_${worker}`
  url.pathname = name
  const server = postgres(serverUrl, { max: 1, onnotice: () => {} })
  try {
    // Roles belong to all databases of a server: two migrations would make them at once.
    await server`select pg_advisory_lock(${WORKERS_LOCK})`
    await server`drop database if exists ${server(name)} with (force)`
    await server`create database ${server(name)}`
    await migrate({ url: url.href, log: silentLog })
  } finally {
    await server.end()
  }
  return url.href
}

/** Redis counts its databases. */
function ownRedis(serverUrl: string, worker: string | undefined): string {
  const url = new URL(serverUrl)
  if (worker !== undefined) url.pathname = `/${worker}`
  return url.href
}

function endAll(folder: string) {
  for (const process of launched.splice(0)) process.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
