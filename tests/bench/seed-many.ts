import { createHash } from 'node:crypto'
import { sql } from 'drizzle-orm'
import { insertClient, insertUser } from '~/features/users/queries'
import type { Db } from '~/platform/db'
import type { Secrets } from '~/platform/secrets'
import { newAgent, openDatabase, PASSWORD } from './seed'

export interface Crowd {
  /** Who asks: each belongs to a client and knows some of its agents. */
  askers: { email: string; clientId: string; agentIds: string[] }[]
}

const ASKERS = 50
/** Of each asker's client: together they lie all over the table. */
const AGENTS_KNOWN = 100
const ROWS_AT_ONCE = 1000

/** `clients` organisations with equally many agents, straight into the database, with keys that open as if the server had made them. */
export async function seedMany(
  databaseUrl: string,
  secrets: Secrets,
  { agents, clients }: { agents: number; clients: number },
): Promise<Crowd> {
  const database = openDatabase(databaseUrl)
  try {
    const { db } = database
    const each = Math.floor(agents / clients)
    const tenants: { clientId: string; agentIds: string[] }[] = []
    for (let number = 0; number < clients; number++) {
      const client = await insertClient(db, { name: `Client ${number}`, email: `client-${number}@example.com` })
      if (client === undefined) throw new Error('the database is not empty')
      tenants.push({ clientId: client.id, agentIds: Array.from({ length: each }, () => crypto.randomUUID()) })
    }
    // One agent of each client after the other, so that a client's rows lie apart, as they do where all clients write side by side.
    const rows = Array.from({ length: each }, (_, at) =>
      tenants.map(({ clientId, agentIds }) => ({ clientId, id: agentIds[at] ?? '' })),
    ).flat()
    for (let at = 0; at < rows.length; at += ROWS_AT_ONCE) await insertRows(db, secrets, rows.slice(at, at + ROWS_AT_ONCE))
    const askers = await seedAskers(db, tenants)
    await db.execute(sql`vacuum analyze`)
    await db.execute(sql`checkpoint`)
    return { askers }
  } finally {
    await database.close()
  }
}

async function insertRows(db: Db, secrets: Secrets, rows: { id: string; clientId: string }[]): Promise<void> {
  const { name, type, model, description, instruction, config } = JSON.parse(newAgent('', 'openai/paced-100')) as Record<string, unknown>
  const sealed: Record<string, string>[] = []
  for (const { id, clientId } of rows) {
    const key = crypto.randomUUID()
    sealed.push({
      id,
      client_id: clientId,
      key_hash: createHash('sha256').update(key).digest('hex'),
      encrypted_key: await secrets.seal(db, clientId, `agents:${id}`, key),
    })
  }
  await db.execute(sql`
    insert into agents (id, client_id, name, type, model, description, instruction, config, key_hash, encrypted_key)
    select id, client_id, ${name}, ${type}, ${model}, ${description}, ${instruction}, ${JSON.stringify(config)}::jsonb, decode(key_hash, 'hex'), encrypted_key
    from json_to_recordset(${JSON.stringify(sealed)}::json) as a (id uuid, client_id uuid, key_hash text, encrypted_key text)`)
}

/** As many people on either side, spread over all clients there are: what differs is how much lies around what they ask for. */
async function seedAskers(db: Db, tenants: { clientId: string; agentIds: string[] }[]): Promise<Crowd['askers']> {
  const passwordHash = await Bun.password.hash(PASSWORD, { algorithm: 'bcrypt', cost: 12 })
  const askers: Crowd['askers'] = []
  for (let number = 0; number < ASKERS; number++) {
    const tenant = tenants[Math.floor((number * tenants.length) / ASKERS)]
    if (tenant === undefined) throw new Error('there is no client')
    const email = `asker-${number}@example.com`
    const { clientId } = tenant
    await insertUser(db, { email, name: email, passwordHash, isActive: true, emailVerified: true, isAdmin: false, clientId })
    const step = Math.max(1, Math.floor(tenant.agentIds.length / AGENTS_KNOWN))
    askers.push({ email, clientId, agentIds: tenant.agentIds.filter((_, at) => (at + number) % step === 0).slice(0, AGENTS_KNOWN) })
  }
  return askers
}
