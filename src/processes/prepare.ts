import { sql } from 'drizzle-orm'
import type { Config } from '~/config'
import { expireLeases } from '~/features/runs/queries/runs'
import { createFirstAdmin } from '~/features/users/first-admin'
import { createDatabase, type Database } from '~/platform/db'
import { type Log, silentLog } from '~/platform/log'
import { createPasswords } from '~/platform/passwords/passwords'
import { createWrite } from '~/platform/unit-of-work'
import { migrate } from '../../db/migrate'
import { StartError } from './start-error'

/** What the supervisor does before it starts any process: the schema, and the first admin. Replicas may do so at the same time. */
export async function prepare(config: Config, log: Log): Promise<{ adminPassword?: string }> {
  const database = openDatabase(config, log)
  const passwords = createPasswords({ cost: config.access.bcryptCost, threads: 1 })
  try {
    await migrate({ url: config.database.url ?? '', tls: config.database.tls, log })
    if (config.database.rls === 'enforce') await demandTenantRole(database)
    // Its outbox row is relayed by the worker's sweeper: there is no Redis connection here.
    const write = createWrite({ database, relay: { publish() {}, close: async () => {} } })
    const { email, password } = { email: config.access.adminEmail, password: config.access.adminInitialPassword }
    const { generatedPassword } = await createFirstAdmin({ write, passwords, email, password })
    return generatedPassword === undefined ? {} : { adminPassword: generatedPassword }
  } finally {
    passwords.close()
    await database.close()
  }
}

/** A migration makes it, unless the database's user may not. */
async function demandTenantRole({ db }: Database) {
  const [role] = await db.execute<{ usable: boolean }>(
    sql`select pg_has_role(current_user, oid, 'member') as usable from pg_roles where rolname = 'evo_tenant'`,
  )
  if (role?.usable !== true)
    throw new StartError(
      'DATABASE_RLS=enforce needs the role evo_tenant: create role evo_tenant nologin, grant it to the user in DATABASE_URL, and grant it its rights on the tables',
    )
}

/** A process died: the runs it executed need not wait for their leases to run out. */
export async function freeLeases(instance: string, config: Config): Promise<void> {
  const database = openDatabase(config, silentLog)
  try {
    await expireLeases(database.db, instance)
  } finally {
    await database.close()
  }
}

function openDatabase({ database: { url, ...settings } }: Config, log: Log) {
  return createDatabase({ ...settings, url: url ?? '', poolSize: 1, applicationName: 'evo-supervisor', log })
}
