import { type Config, ConfigError, loadConfig } from '~/config'
import { createDatabase, type Database } from '~/platform/db'
import { createLog, type Log } from '~/platform/log'
import { createSecrets, type Secrets } from '~/platform/secrets'
import { startEmbeddedServices } from '~/processes/embedded-services'
import { createFamily } from '~/processes/family'
import { reachPostgres } from '~/processes/reach-postgres'
import { StartError } from '~/processes/start-error'
import { migrate } from './migrate'

export interface ScriptParts {
  config: Config
  database: Database
  secrets: Secrets
  log: Log
  /** The migrations that were new to the database. */
  applied: string[]
}

const SCRIPT_STATEMENT_MS = 600_000

/**
 * Runs a script on the server's database, migrated: on DATABASE_URL, else on the embedded PostgreSQL, which one process at a time can have.
 * Returns the exit code: what `work` returns, or 1 after a line on stderr for whatever is wrong with the settings or the database.
 * `verb` is for that line: `seed`, `import`. `prepare` may look at the settings before anything is started; it throws StartError.
 */
export async function runScript(
  env: Record<string, string | undefined>,
  verb: string,
  { prepare, work }: { prepare?: (config: Config) => void; work: (parts: ScriptParts) => Promise<number> },
): Promise<number> {
  const family = createFamily()
  let release = () => {}
  try {
    const given = loadConfig(env)
    prepare?.(given)
    const log = createLog({ level: 'warn', pretty: true })
    // Redis is not needed: an address that nobody calls keeps it from being started.
    const services = await startEmbeddedServices({ config: { ...given, redis: { ...given.redis, url: 'redis://-' } }, env, family, log })
    release = services.release
    await services.ready
    const config = loadConfig(services.env)
    const url = config.database.url ?? ''
    await reachPostgres(url, 5000)
    const { applied } = await migrate({ url, tls: config.database.tls, log })
    const database = createDatabase({
      ...config.database,
      url,
      poolSize: 1,
      // Nobody waits for an answer, and much may lie between two statements.
      statementTimeoutMs: SCRIPT_STATEMENT_MS,
      applicationName: `evo-${verb}`,
      log,
    })
    try {
      const secrets = createSecrets({ keyEncryptionKeys: (config.access.encryptionKeys ?? '').split(',').map((key) => key.trim()) })
      return await work({ config, database, secrets, log, applied })
    } finally {
      await database.close()
    }
  } catch (error) {
    if (!(error instanceof StartError || error instanceof ConfigError)) throw error
    const hint = error.message.startsWith('another server') ? '; stop it first, and start it again afterwards' : ''
    process.stderr.write(`Cannot ${verb}: ${error.message}${hint}\n`)
    return 1
  } finally {
    await family.stop(0)
    release()
  }
}
