import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { type Db, loneTransaction, type TlsSetting } from '~/platform/db'
import type { Log } from '~/platform/log'

const MIGRATIONS = join(import.meta.dir, 'migrations')
/** Any constant: two replicas that start together queue up on it. */
const ADVISORY_LOCK = 0x65766f

interface Migration {
  name: string
  text: string
  checksum: string
}

/**
 * Applies what is new, forward only, all in one transaction under an advisory lock, so that replicas may start together and a failure leaves nothing half done.
 * The lock is the transaction's, not the session's: it also holds behind PgBouncer.
 * A database that knows more migrations than this build is no fault: during a deploy the older replicas keep serving.
 * @throws Error when a file that was applied has been edited since.
 */
export async function migrate({ url, tls = 'auto', log }: { url: string; tls?: TlsSetting; log: Log }): Promise<{ applied: string[] }> {
  const migrations = await readMigrations()
  const applied = await loneTransaction({ url, tls, connectTimeoutMs: CONNECT_TIMEOUT_MS, applicationName: 'evo-migrate', log }, (tx) =>
    applyNew(tx, migrations),
  )
  if (applied.length > 0) log.info('migrated', { applied })
  return { applied }
}

const CONNECT_TIMEOUT_MS = 5000

/** Names of all migrations of this build, oldest first; readiness compares them with the database's. */
export const migrationNames = async () => (await readMigrations()).map(({ name }) => name)

async function applyNew(tx: Db, migrations: Migration[]): Promise<string[]> {
  await tx.execute("set local lock_timeout = '60s'")
  await tx.execute('set local statement_timeout = 0')
  await tx.execute(sql`select pg_advisory_xact_lock(${ADVISORY_LOCK})`)
  await tx.execute(
    'create table if not exists schema_migrations (name text primary key, checksum text not null, applied_at timestamptz not null default now())',
  )
  const rows = await tx.execute<{ name: string; checksum: string }>(sql`select name, checksum from schema_migrations`)
  const known = new Map(rows.map(({ name, checksum }) => [name, checksum]))
  const applied: string[] = []
  for (const { name, text, checksum } of migrations) {
    const before = known.get(name)
    if (before !== undefined && before !== checksum) throw new Error(`migration ${name} was edited after it had been applied`)
    if (before !== undefined) continue
    await tx.execute(text)
    await tx.execute(sql`insert into schema_migrations (name, checksum) values (${name}, ${checksum})`)
    applied.push(name)
  }
  return applied
}

async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(MIGRATIONS)).filter((name) => name.endsWith('.sql')).sort()
  return Promise.all(
    names.map(async (name) => {
      const text = await Bun.file(join(MIGRATIONS, name)).text()
      return { name, text, checksum: createHash('sha256').update(text).digest('hex') }
    }),
  )
}

if (import.meta.main) {
  const { runScript } = await import('./script')
  const work = async ({ applied }: { applied: string[] }) => {
    process.stdout.write(applied.length > 0 ? `applied ${applied.join(', ')}\n` : 'nothing to apply\n')
    return 0
  }
  process.exit(await runScript(process.env, 'migrate', { work }))
}
