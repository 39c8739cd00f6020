import { sql } from 'drizzle-orm'
import type { Config } from '~/config'
import { createDatabase } from '~/platform/db'
import type { Log } from '~/platform/log'
import { createRedis } from '~/platform/redis'
import { createSecrets } from '~/platform/secrets'
import { migrationNames } from '../../db/migrate'

export type Stores = ReturnType<typeof openStores>

/** What every process of the server opens, and how it closes it. `name` is what PostgreSQL and Redis show for it. */
export function openStores(config: Config, { name, log }: { name: string; log: Log }) {
  const { url: databaseUrl, ...databaseSettings } = config.database
  if (databaseUrl === undefined || config.redis.url === undefined) throw new Error('the supervisor names both stores')
  const database = createDatabase({ ...databaseSettings, url: databaseUrl, applicationName: name, log })
  const redis = createRedis({ ...config.redis, url: config.redis.url, name, log })
  const secrets = createSecrets({ keyEncryptionKeys: (config.access.encryptionKeys ?? '').split(',').map((key) => key.trim()) })
  return {
    database,
    redis,
    secrets,
    /** Derive the links of mails: the same in the process that issues a token and in the one that mails it. */
    linkKeys: secrets.derive('one-time-tokens'),
    /** Make the next refresh token of a sign-in. */
    refreshKeys: secrets.derive('refresh-tokens'),
    async isMigrated(): Promise<boolean> {
      const known = await database.db.execute<{ name: string }>(sql`select name from schema_migrations`)
      const names = new Set(known.map(({ name }) => name))
      return (await migrationNames()).every((migration) => names.has(migration))
    },
    async close() {
      await redis.close()
      await database.close()
    },
  }
}
