import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, ConfigError } from '~/config'
import { systemClock } from '~/platform/clock'
import type { Log } from '~/platform/log'
import { embeddedPostgresUrl, launchPostgres } from './embedded-postgres'
import { embeddedRedisUrl, launchRedis } from './embedded-redis'
import type { Family } from './family'
import { findRedis } from './find-redis'
import { keepRunning } from './keep-running'
import { takeLock } from './lock-file'
import { findFreePort } from './ports'
import { loadSecrets, type Secrets } from './secrets-file'
import { StartError } from './start-error'

type Env = Record<string, string | undefined>

export interface EmbeddedServices {
  /** The environment with the URLs and secrets that the operator left to us. */
  env: Env
  /** Settles when they serve. */
  ready: Promise<unknown>
  /** To be called when they have ended: another server may use the data directory. */
  release(): void
}

/** Launches PostgreSQL and Redis where no URL is given. @throws StartError when another server uses the data directory. */
export async function startEmbeddedServices({
  config,
  env,
  family,
  log,
}: {
  config: Config
  env: Env
  family: Family
  log: Log
}): Promise<EmbeddedServices> {
  const { dataDir, access, database, redis, role } = config
  const needsPostgres = database.url === undefined
  const needsRedis = redis.url === undefined
  if (role === 'runner') return { env, ready: Promise.resolve(), release: () => undefined }
  const embedded = needsPostgres || needsRedis
  if (embedded && role !== 'all')
    throw new ConfigError(`EVO_ROLE=${role} needs DATABASE_URL and REDIS_URL: embedded services belong to one server that runs all roles`)
  if (!embedded && access.jwtSecret && access.encryptionKeys) return { env, ready: Promise.resolve(), release: () => undefined }

  const claimed = claim(dataDir, embedded)
  const { secrets } = claimed
  const filled: Env = { ...env, EVO_DATA_DIR: dataDir }
  if (!access.jwtSecret) filled.JWT_SECRET_KEY = secrets.jwtSecret
  if (!access.encryptionKeys) filled.ENCRYPTION_KEY = secrets.encryptionKey

  const starts: Promise<unknown>[] = []
  if (needsPostgres) {
    const options = { dataDir: join(dataDir, 'postgres'), port: await findFreePort(), password: secrets.postgresPassword }
    filled.DATABASE_URL = embeddedPostgresUrl(options)
    const launch = () => launchPostgres(options, filled)
    const kept = family.add('services', () => keepRunning({ name: 'the embedded PostgreSQL', launch, clock: systemClock, log }))
    starts.push(kept?.firstReady ?? Promise.resolve())
  }
  if (needsRedis) {
    const options = { dataDir: join(dataDir, 'redis'), port: await findFreePort(), password: secrets.redisPassword, persistent: true }
    filled.REDIS_URL = embeddedRedisUrl(options)
    const start = async () => {
      const binary = await findRedis({ mayInstall: !config.noInstall, log })
      const launch = () => launchRedis({ ...options, binary })
      await family.add('services', () => keepRunning({ name: 'the embedded Redis', launch, clock: systemClock, log }))?.firstReady
    }
    starts.push(start())
  }
  const ready = Promise.all(starts)
  ready.catch(() => undefined) // heard by whoever awaits `ready`, which may be later
  return { env: filled, ready, release: claimed.release }
}

function claim(dataDir: string, exclusively: boolean): { secrets: Secrets; release(): void } {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    const lock = exclusively ? takeLock(join(dataDir, 'server.lock'), LOCK_WAIT_MS) : undefined
    if (exclusively && !lock) throw new StartError(`another server uses ${dataDir} (EVO_DATA_DIR)`)
    return { secrets: loadSecrets(dataDir), release: () => lock?.release() }
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) throw new StartError(`${dataDir} cannot be used: ${error.message} (EVO_DATA_DIR)`)
    throw error
  }
}

/** For a predecessor that is ending just now. */
const LOCK_WAIT_MS = 300
