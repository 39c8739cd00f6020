import { createHash, randomBytes } from 'node:crypto'
import { and, eq, sql } from 'drizzle-orm'
import { type Config, ConfigError, loadConfig } from '~/config'
import { agents } from '~/features/agents/table'
import { contacts } from '~/features/contacts/table'
import { folders } from '~/features/folders/table'
import { mcpServers } from '~/features/mcp-servers/table'
import { findUserByEmail, insertClient, insertUser } from '~/features/users/queries'
import { createDatabase, type Database, type Db } from '~/platform/db'
import { createLog } from '~/platform/log'
import { createPasswords, type Passwords } from '~/platform/passwords/passwords'
import { createSecrets, type Secrets } from '~/platform/secrets'
import { startEmbeddedServices } from '~/processes/embedded-services'
import { createFamily } from '~/processes/family'
import { reachPostgres } from '~/processes/reach-postgres'
import { StartError } from '~/processes/start-error'
import { migrate } from './migrate'
import { OFFICIAL_MCP_SERVERS } from './official-mcp-servers'

export interface SeedDeps {
  database: Database
  secrets: Secrets
  passwords: Passwords
  demo: Config['demo']
}

export interface Seeded {
  /** What was not there yet, in words. */
  created: string[]
  agentId: string
  /** Of the demo user, when it was made just now. */
  password?: string
}

/** Demo data for development. What is there already, by name or address, stays as it is. */
export async function seed({ database, secrets, passwords, demo }: SeedDeps): Promise<Seeded> {
  const password = demo.password ?? randomBytes(12).toString('base64url')
  const passwordHash = await passwords.hash(password)
  return database.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(${SEED_LOCK})`)
    const created: string[] = []
    const note: Note = (thing) => created.push(thing)
    const { clientId, isNew } = await seedUser(tx, demo, passwordHash)
    if (isNew) note(`client "${demo.clientName}" with user ${demo.email}`)
    const folderId = await seedFolder(tx, clientId, note)
    const agentId = await seedAgent(tx, { clientId, folderId, secrets }, note)
    const people = await tx
      .insert(contacts)
      .values(CONTACTS.map((contact) => ({ ...contact, clientId })))
      .onConflictDoNothing()
      .returning({ name: contacts.name })
    for (const { name } of people) note(`contact ${name}`)
    const servers = await tx.insert(mcpServers).values(OFFICIAL_MCP_SERVERS).onConflictDoNothing().returning({ name: mcpServers.name })
    for (const { name } of servers) note(`MCP server ${name}`)
    return { created, agentId, ...(isNew ? { password } : {}) }
  })
}

/** Any constant: two that seed at once do so one after the other. */
const SEED_LOCK = 0x73656564

const CONTACTS = [
  { extId: 'grace', name: 'Grace Hopper', meta: { language: 'en' } },
  { extId: 'alan', name: 'Alan Turing', meta: { language: 'en' } },
]

type Note = (thing: string) => unknown

async function seedUser(tx: Db, { email, clientName }: Config['demo'], passwordHash: string) {
  const before = await findUserByEmail(tx, email)
  if (before?.client_id) return { clientId: before.client_id, isNew: false }
  if (before) throw new StartError(`${email} is the address of an admin (DEMO_EMAIL)`)
  const client = await insertClient(tx, { name: clientName, email })
  if (!client) throw new StartError(`a client with the address ${email} exists without that user (DEMO_EMAIL)`)
  await insertUser(tx, { email, passwordHash, clientId: client.id, isActive: true, emailVerified: true })
  return { clientId: client.id, isNew: true }
}

async function seedFolder(tx: Db, clientId: string, note: Note): Promise<string> {
  const [before] = await tx
    .select({ id: folders.id })
    .from(folders)
    .where(and(eq(folders.clientId, clientId), eq(folders.name, 'Demo')))
  if (before) return before.id
  const id = crypto.randomUUID()
  await tx.insert(folders).values({ id, clientId, name: 'Demo', description: 'Agents to try things with.' })
  note('folder Demo')
  return id
}

async function seedAgent(
  tx: Db,
  { clientId, folderId, secrets }: { clientId: string; folderId: string; secrets: Secrets },
  note: Note,
): Promise<string> {
  const [before] = await tx
    .select({ id: agents.id })
    .from(agents)
    .where(and(eq(agents.clientId, clientId), eq(agents.name, 'demo_echo')))
  if (before) return before.id
  const id = crypto.randomUUID()
  const key = crypto.randomUUID()
  await tx.insert(agents).values({
    id,
    clientId,
    folderId,
    name: 'demo_echo',
    description: 'Says back what it hears, without any provider.',
    type: 'llm',
    model: 'demo/echo',
    instruction: 'Repeat what the user says.',
    keyHash: createHash('sha256').update(key).digest(),
    encryptedKey: await secrets.seal(tx, clientId, `agents:${id}`, key),
  })
  note('agent demo_echo (model demo/echo)')
  return id
}

/** `bun run db:seed`: on DATABASE_URL, else on the embedded PostgreSQL, which one process at a time can have. Returns the exit code. */
async function run(env: Record<string, string | undefined>): Promise<number> {
  const family = createFamily()
  let release = () => {}
  try {
    if (env.NODE_ENV?.trim().toLowerCase() === 'production')
      throw new StartError('demo data is for development, not for NODE_ENV=production')
    const given = loadConfig(env)
    const { demo, access } = given
    if (demo.password !== undefined && demo.password.length < access.passwordMinLength)
      throw new StartError(`DEMO_PASSWORD must have at least ${access.passwordMinLength} characters`)
    const log = createLog({ level: 'warn', pretty: true })
    // Redis is not needed: an address that nobody calls keeps it from being started.
    const services = await startEmbeddedServices({ config: { ...given, redis: { ...given.redis, url: 'redis://-' } }, env, family, log })
    release = services.release
    await services.ready
    const config = loadConfig(services.env)
    await reachPostgres(config.database.url ?? '', 5000)
    await migrate({ url: config.database.url ?? '', log })
    await report(config, log)
    return 0
  } catch (error) {
    if (!(error instanceof StartError || error instanceof ConfigError)) throw error
    process.stderr.write(
      `Cannot seed: ${error.message}${error.message.startsWith('another server') ? '; stop it first, and start it again afterwards' : ''}\n`,
    )
    return 1
  } finally {
    await family.stop(0)
    release()
  }
}

async function report(config: Config, log: ReturnType<typeof createLog>) {
  const { database: settings, access, demo } = config
  const database = createDatabase({ ...settings, url: settings.url ?? '', poolSize: 1, applicationName: 'evo-seed', log })
  const passwords = createPasswords({ cost: access.bcryptCost, threads: 1 })
  try {
    const secrets = createSecrets({ keyEncryptionKeys: access.encryptionKeys.split(',') })
    const { created, agentId, password } = await seed({ database, secrets, passwords, demo })
    const lines = created.length === 0 ? ['Nothing to do: the demo data is there.'] : ['Created:', ...created.map((thing) => `  ${thing}`)]
    if (password !== undefined) lines.push(`Sign in as ${demo.email} with the password ${password}`)
    lines.push(`Talk to the agent at ${config.apiUrl}/api/v1/chat/${agentId}/grace`)
    process.stdout.write(`${lines.join('\n')}\n`)
  } finally {
    passwords.close()
    await database.close()
  }
}

if (import.meta.main) process.exit(await run(process.env))
