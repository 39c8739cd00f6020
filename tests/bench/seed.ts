import { sql } from 'drizzle-orm'
import { insertClient, insertUser } from '~/features/users/queries'
import { createDatabase } from '~/platform/db'
import { silentLog } from '~/platform/log'

export const PASSWORD = 'correct horse battery staple'
/** What the list scenario reads is a page of these. */
const AGENTS = 200

export interface People {
  /** Reads: its agents stay as they are. */
  reader: { clientId: string; email: string }
  /** Its agents come and go. */
  writer: { clientId: string; email: string }
  /** Signs in over and over: whoever does so loses the earlier tokens. */
  comer: { email: string }
  /** Email addresses of those who sign in all at once. */
  crowd: string[]
  passwordHash: string
}

export const CROWD = 64

/** Organisations with one user each, straight into the database: nobody is there to open a mail. */
export async function seedPeople(databaseUrl: string): Promise<People> {
  const database = openDatabase(databaseUrl)
  try {
    const passwordHash = await Bun.password.hash(PASSWORD, { algorithm: 'bcrypt', cost: 12 })
    const person = async (name: string) => {
      const email = `${name}@example.com`
      const client = await insertClient(database.db, { name, email })
      if (client === undefined) throw new Error(`${name} is there already`)
      await insertUser(database.db, { email, name, passwordHash, isActive: true, emailVerified: true, isAdmin: false, clientId: client.id })
      return { clientId: client.id, email }
    }
    const [reader, writer, comer] = [await person('reader'), await person('writer'), await person('comer')]
    const crowd: string[] = []
    for (let number = 0; number < CROWD; number++) crowd.push((await person(`crowd-${number}`)).email)
    return { reader, writer, comer, crowd, passwordHash }
  } finally {
    await database.close()
  }
}

export async function signIn(apiUrl: string, email: string): Promise<string> {
  const body = JSON.stringify({ email, password: PASSWORD })
  const answer = await fetch(`${apiUrl}/api/v1/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  if (!answer.ok) throw new Error(`cannot sign in: ${answer.status} ${await answer.text()}`)
  return ((await answer.json()) as { access_token: string }).access_token
}

/** Agents as a tenant would define them. Returns their ids. */
export async function seedAgents(apiUrl: string, token: string, clientId: string): Promise<string[]> {
  const ids: string[] = []
  for (let number = 0; number < AGENTS; number++) ids.push(await defineAgent(apiUrl, token, clientId, 'openai/paced-100'))
  return ids
}

export async function defineAgent(apiUrl: string, token: string, clientId: string, model: string): Promise<string> {
  const answer = await fetch(`${apiUrl}/api/v1/agents/`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: newAgent(clientId, model),
  })
  if (answer.status !== 201) throw new Error(`cannot make an agent: ${answer.status} ${await answer.text()}`)
  return ((await answer.json()) as { id: string }).id
}

export const newAgent = (clientId: string, model: string): string =>
  JSON.stringify({
    client_id: clientId,
    name: 'shop_assistant',
    type: 'llm',
    model,
    description: 'Answers questions about orders, deliveries and returns.',
    instruction: `You help the customers of a shop for garden tools. Be friendly and short. ${'Never promise what the terms of sale do not say. '.repeat(8)}`,
    config: { tools: [], custom_tools: { http_tools: [] } },
  })

/** Both sides start each time from the same rows. */
export async function forgetWrites(databaseUrl: string, clientId: string): Promise<void> {
  const database = openDatabase(databaseUrl)
  try {
    await database.db.execute(sql`truncate outbox`)
    await database.db.execute(sql`delete from agents where client_id = ${clientId}`)
    await database.db.execute(sql`vacuum analyze agents`)
  } finally {
    await database.close()
  }
}

/** Turns of former days, a hundred in a session, straight into the database: what is asked now must not read through them. */
export async function seedEndedRuns(
  databaseUrl: string,
  { clientId, agentId, count }: { clientId: string; agentId: string; count: number },
) {
  const database = openDatabase(databaseUrl)
  try {
    await database.db.execute(sql`
      insert into sessions (id, client_id, agent_id, external_id)
      select 'former-' || n || '_' || ${agentId}::text, ${clientId}, ${agentId}, 'former-' || n from generate_series(1, ${count / 100}::int) n`)
    await database.db.execute(sql`
      insert into runs (id, client_id, agent_id, session_id, status, input, trace_id, deadline_at, created_at, started_at, finished_at)
      select gen_random_uuid(), ${clientId}, ${agentId}, 'former-' || 1 + n % ${count / 100}::int || '_' || ${agentId}::text, 'succeeded', '{}', '', day, day, day, day
      from generate_series(1, ${count}::int) n, lateral (select now() - n * interval '1 minute' as day) days`)
    await database.db.execute(sql`vacuum analyze`)
  } finally {
    await database.close()
  }
}

/** One session, with time for what takes long. */
export const openDatabase = (url: string) =>
  createDatabase({
    url,
    poolSize: 1,
    prepare: true,
    statementTimeoutMs: 60_000,
    connectTimeoutMs: 2000,
    acquireTimeoutMs: 60_000,
    tls: 'off',
    applicationName: 'bench',
    log: silentLog,
  })
