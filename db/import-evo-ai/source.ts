import postgres from 'postgres'

/** What the import reads of a 0.1.0 database, as its driver gives it: json columns parsed, times as dates. */
export interface SourceRows {
  clients: { id: string; name: string; email: string; created_at: Date | null; updated_at: Date | null }
  users: {
    id: string
    email: string
    password_hash: string
    client_id: string | null
    is_active: boolean | null
    is_admin: boolean | null
    email_verified: boolean | null
    created_at: Date | null
    updated_at: Date | null
  }
  agent_folders: OfClient & { description: string | null }
  api_keys: OfClient & { provider: string; encrypted_key: string; is_active: boolean | null }
  mcp_servers: Catalogued & { config_type: string; tools: unknown; type: string }
  tools: Catalogued
  agents: OfClient & {
    role: string | null
    goal: string | null
    description: string | null
    type: string
    model: string | null
    api_key_id: string | null
    instruction: string | null
    agent_card_url: string | null
    folder_id: string | null
    config: unknown
  }
  sessions: { app_name: string; user_id: string; id: string; state: unknown; create_time: Date; update_time: Date }
  events: {
    id: string
    app_name: string
    user_id: string
    session_id: string
    author: string | null
    branch: string | null
    timestamp: Date
    content: unknown
    partial: boolean | null
    error_code: string | null
    error_message: string | null
  }
}

interface OfClient {
  id: string
  client_id: string | null
  name: string
  created_at: Date | null
  updated_at: Date | null
}

interface Catalogued {
  id: string
  name: string
  description: string | null
  config_json: unknown
  environments: unknown
  created_at: Date | null
  updated_at: Date | null
}

export type SourceTable = keyof SourceRows

export interface Source {
  count(table: SourceTable): Promise<number>
  /** All rows in an order that is the same every time, `size` at most at once; the next page is read when it is asked for. */
  pages<T extends SourceTable>(table: T, size: number): AsyncIterable<SourceRows[T][]>
}

/** Events in the order in which they were said, so that a session's history keeps it. The session tables have no time zone: the server wrote UTC. */
const QUERIES: Record<SourceTable, string> = {
  clients: 'select id, name, email, created_at, updated_at from clients order by created_at, id',
  users:
    'select id, email, password_hash, client_id, is_active, is_admin, email_verified, created_at, updated_at from users order by created_at, id',
  agent_folders: 'select id, client_id, name, description, created_at, updated_at from agent_folders order by created_at, id',
  api_keys: 'select id, client_id, name, provider, encrypted_key, is_active, created_at, updated_at from api_keys order by created_at, id',
  mcp_servers:
    'select id, name, description, config_type, config_json, environments, tools, type, created_at, updated_at from mcp_servers order by created_at, id',
  tools: 'select id, name, description, config_json, environments, created_at, updated_at from tools order by created_at, id',
  agents:
    'select id, client_id, name, role, goal, description, type, model, api_key_id, instruction, agent_card_url, folder_id, config, created_at, updated_at from agents order by created_at, id',
  sessions:
    "select app_name, user_id, id, state, create_time at time zone 'UTC' as create_time, update_time at time zone 'UTC' as update_time from sessions order by app_name, user_id, id",
  events:
    "select id, app_name, user_id, session_id, author, branch, timestamp at time zone 'UTC' as timestamp, content, partial, error_code, error_message from events order by app_name, user_id, session_id, timestamp, id",
}

/** What the session library makes when it is first used: a server that nobody has talked to does not have them. */
const OPTIONAL: ReadonlySet<SourceTable> = new Set(['sessions', 'events'])

/** Many of our tables are called like theirs; this one they never had. */
const OUR_OWN = 'outbox'

/** The database is not one of Evo AI 0.1.0, or cannot be read. */
export class SourceError extends Error {
  override name = 'SourceError'
}

/**
 * Opens a 0.1.0 database for the time of `work`: one read-only transaction, so that all tables are seen as of one moment and nothing is changed there.
 * @throws SourceError
 */
export async function withSource<T>(url: string, work: (source: Source) => Promise<T>): Promise<T> {
  const sql = postgres(url, {
    max: 1,
    connect_timeout: 5,
    onnotice: () => {},
    connection: { application_name: 'evo-import', statement_timeout: 0 },
  })
  try {
    await sql`select 1`.catch((cause) => {
      throw new SourceError(`the database to import from cannot be opened: ${messageOf(cause)}`, { cause })
    })
    // Its type would promise an array of results; what `work` returns is handed out of it instead.
    const result = Promise.withResolvers<T>()
    await sql.begin('isolation level repeatable read read only', async (tx) => {
      result.resolve(await work(await openTables(tx)))
    })
    return await result.promise
  } finally {
    await sql.end({ timeout: 2 })
  }
}

async function openTables(tx: postgres.TransactionSql): Promise<Source> {
  const rows = await tx<{ name: string }[]>`
    select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname = any(current_schemas(false))`
  const present = new Set(rows.map(({ name }) => name))
  const tables = Object.keys(QUERIES) as SourceTable[]
  const missing = tables.filter((table) => !present.has(table) && !OPTIONAL.has(table))
  if (missing.length > 0) throw new SourceError(`this is no database of Evo AI 0.1.0: it has no table ${missing.join(', ')}`)
  if (present.has(OUR_OWN)) throw new SourceError('this is a database of this server, not of Evo AI 0.1.0')
  return {
    async count(table) {
      if (!present.has(table)) return 0
      const [row] = await tx<{ total: number }[]>`select count(*)::int as total from ${tx(table)}`
      return row?.total ?? 0
    },
    async *pages<T extends SourceTable>(table: T, size: number) {
      if (!present.has(table)) return
      // The columns of the query are the ones of its row type above.
      for await (const page of tx.unsafe<SourceRows[T][]>(QUERIES[table]).cursor(size)) yield [...page] as SourceRows[T][]
    },
  }
}

const messageOf = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))
