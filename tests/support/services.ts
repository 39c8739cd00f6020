import { afterAll } from 'bun:test'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLog } from '~/platform/log'
import { embeddedRedisUrl, launchRedis } from '~/processes/embedded-redis'
import { findRedis } from '~/processes/find-redis'
import type { Launched } from '~/processes/launched'
import { findFreePort } from '~/processes/ports'
import { serving, startPglite } from './pglite'

/**
 * Preloaded by `bun test` (bunfig.toml): PostgreSQL and Redis for this test process, migrated, in the environment as DATABASE_URL and REDIS_URL.
 * TEST_DATABASE_URL and TEST_REDIS_URL name servers that are used instead.
 */
export interface Services {
  databaseUrl: string
  redisUrl: string
  /** `pglite` has one session: no test may wait in one transaction for another. */
  kind: 'pglite' | 'native'
}

const launched: Launched[] = []

export const services: Services = await startServices()

async function startServices(): Promise<Services> {
  const folder = mkdtempSync(join(tmpdir(), 'evo-test-'))
  // Whatever misses this, a SIGKILL too, is noticed by the processes themselves: they end when we are gone.
  process.on('exit', () => endAll(folder))
  afterAll(() => endAll(folder))
  const { TEST_DATABASE_URL, TEST_REDIS_URL } = process.env
  const [databaseUrl, redisUrl] = await Promise.all([TEST_DATABASE_URL || startPostgres(folder), TEST_REDIS_URL || startRedis(folder)])
  Object.assign(process.env, { NODE_ENV: 'test', DATABASE_URL: databaseUrl, REDIS_URL: redisUrl })
  await migrateIfPossible(databaseUrl)
  return { databaseUrl, redisUrl, kind: TEST_DATABASE_URL ? 'native' : 'pglite' }
}

async function startPostgres(folder: string): Promise<string> {
  const { process, url } = await startPglite(folder)
  launched.push(process)
  return url
}

async function startRedis(folder: string): Promise<string> {
  const binary = await findRedis({ mayInstall: !process.env.EVO_NO_INSTALL, log: silentLog })
  const options = { binary, dataDir: join(folder, 'redis'), port: await findFreePort(), password: 'only-for-tests', persistent: false }
  const server = launchRedis(options)
  launched.push(server)
  await serving(server)
  return embeddedRedisUrl(options)
}

async function migrateIfPossible(url: string) {
  const path = join(import.meta.dir, '../../db/migrate.ts')
  if (!existsSync(path)) return
  const { migrate } = await import(path)
  await migrate({ url, log: silentLog })
}

function endAll(folder: string) {
  for (const process of launched.splice(0)) process.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
