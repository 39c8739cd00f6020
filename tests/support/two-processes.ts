import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServer } from '../start/running-server'
import { startApp, type TestApp } from './start-app'
import { until } from './until'

/** Two API processes that share nothing but the stores: the app of this process, and a server of its own. */
export interface TwoProcesses {
  here: TestApp
  /** Where the other one listens. */
  url: string
  close(): Promise<void>
}

const READY = /"message":"ready".*"url":"([^"]+)"/
/** Nobody is to meet a limit. */
const NO_LIMITS = {
  RATE_REQUESTS_PER_MINUTE: '1000000',
  RATE_WRITES_PER_MINUTE: '1000000',
  RATE_CHATS_PER_MINUTE: '100000',
  RATE_SIGN_IN_PER_MINUTE: '100000',
  RATE_REFUSED_PER_MINUTE: '100000',
}

/** `name` sets their keys in Redis apart from those of other tests; `env` is for both. Takes some seconds: give the hook a minute. */
export async function startTwoProcesses(name: string, env: Record<string, string> = {}): Promise<TwoProcesses> {
  const folder = mkdtempSync(join(tmpdir(), `evo-${name}-`))
  const both = { ...NO_LIMITS, ...env, REDIS_KEY_PREFIX: `${name}:` }
  const here = await startApp(both)
  const { access, database, redis } = here.config
  const there = startServer({
    ...both,
    EVO_ROLE: 'api',
    EVO_DATA_DIR: folder,
    DATABASE_URL: database.url ?? '',
    REDIS_URL: redis.url ?? '',
    JWT_SECRET_KEY: access.jwtSecret ?? '',
    ENCRYPTION_KEY: access.encryptionKeys ?? '',
    JWT_ISSUER: access.issuer,
    BCRYPT_COST: '4',
  })
  const close = async () => {
    there.kill('SIGTERM')
    await there.exited()
    await here.close()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await until(() => READY.test(there.out()), 50_000)
    return { here, url: READY.exec(there.out())?.[1] ?? '', close }
  } catch (error) {
    await close()
    throw error
  }
}
