import { createHash, randomBytes } from 'node:crypto'
import { and, eq, sql } from 'drizzle-orm'
import type { Config } from '~/config'
import { agents } from '~/features/agents/table'
import { contacts } from '~/features/contacts/table'
import { folders } from '~/features/folders/table'
import { mcpServers } from '~/features/mcp-servers/table'
import { findUserByEmail, insertClient, insertUser } from '~/features/users/queries'
import type { Database, Db } from '~/platform/db'
import { createPasswords, type Passwords } from '~/platform/passwords/passwords'
import type { Secrets } from '~/platform/secrets'
import { StartError } from '~/processes/start-error'
import { OFFICIAL_MCP_SERVERS } from './official-mcp-servers'
import { runScript, type ScriptParts } from './script'

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

/** `bun run db:seed`. Returns the exit code. */
async function run(env: Record<string, string | undefined>): Promise<number> {
  if (env.NODE_ENV?.trim().toLowerCase() === 'production') {
    process.stderr.write('Cannot seed: demo data is for development, not for NODE_ENV=production\n')
    return 1
  }
  return runScript(env, 'seed', {
    prepare({ demo, access }) {
      if (demo.password !== undefined && demo.password.length < access.passwordMinLength)
        throw new StartError(`DEMO_PASSWORD must have at least ${access.passwordMinLength} characters`)
    },
    work: report,
  })
}

async function report({ config, database, secrets }: ScriptParts): Promise<number> {
  const { access, demo, apiUrl } = config
  const passwords = createPasswords({ cost: access.bcryptCost, threads: 1 })
  try {
    const { created, agentId, password } = await seed({ database, secrets, passwords, demo })
    const lines = created.length === 0 ? ['Nothing to do: the demo data is there.'] : ['Created:', ...created.map((thing) => `  ${thing}`)]
    if (password !== undefined) lines.push(`Sign in as ${demo.email} with the password ${password}`)
    lines.push(`Talk to the agent at ${apiUrl}/api/v1/chat/${agentId}/grace`)
    process.stdout.write(`${lines.join('\n')}\n`)
    return 0
  } finally {
    passwords.close()
  }
}

if (import.meta.main) process.exit(await run(process.env))
