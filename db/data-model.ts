import postgres from 'postgres'

/** What each table is for. A table without its line here fails the test that keeps db/README.md true. */
export const PURPOSES: Record<string, string> = {
  clients: 'organisations; everything that a tenant has hangs on one',
  users: 'people: platform admins without a client, everybody else in exactly one',
  auth_sessions: 'sign-ins, with the refresh token of the moment as a hash; impersonations too',
  one_time_tokens: 'links in mails, as hashes',
  attempt_counters: 'failed sign-ins and mails sent, by account and network, within a window',
  second_factors: 'TOTP secrets, sealed',
  recovery_codes: 'codes for who has lost the second factor, as hashes',
  invitations: 'people asked to join a client, the link as a hash',
  machine_keys: 'keys of programs, as hashes, with their scopes',
  client_keys: 'data keys, one or more a client, wrapped by a key of the environment',
  idempotency_keys: 'answers of POSTs with an `Idempotency-Key`, kept with the change that they made',
  agent_folders: 'folders for agents',
  api_keys: 'keys of model providers, sealed',
  agents: 'agents: what they are and how they run; their own key as a hash and sealed',
  agent_versions: 'what an agent was before each of its last hundred changes',
  contacts: 'end users of a client, by the id that its systems give them',
  contact_erasures: 'receipts of erased contacts: how much was found where, never what',
  mcp_servers: 'the catalogue of MCP servers, for all clients',
  mcp_tools: 'what an agent has accepted of the tools of its MCP servers',
  tools: 'the catalogue of HTTP tools, for all clients',
  sessions: 'conversations of one contact with one agent',
  files: 'files of a session, by name and version',
  file_pieces: 'their bytes, unless an object store has them',
  doomed_objects: 'objects of deleted files, until they are removed from the object store',
  events: 'what was said in a session, in order',
  runs: 'turns: who executes them, under which lease, and how they ended',
  run_steps: "a run's journal: each model and tool call once, with its result",
  run_events: "a run's event log in chunks, for readers who come back",
  a2a_tasks: 'tasks of the A2A protocol: a run, and the conversation as the other side names it',
  a2a_push_configs: 'who is told when a task needs somebody or ends, the address sealed',
  outbox: 'mails, audit entries and webhook calls that follow from committed changes, until they are done',
  approvals: 'tool calls that wait for a person, and what they decided',
  usage_records: 'what each model call used and cost',
  budgets: 'what a client, an agent or a session may spend on models',
  budget_reservations: 'what is set aside for model calls under way',
  deliveries: 'one row a mail: its state, its attempts',
  email_events: 'what the mail provider told about mails',
  email_suppressions: 'addresses that are not written to any more',
  webhooks: 'where a client wants to be told of events, the secret sealed',
  webhook_deliveries: 'one row an event and webhook: its state, its attempts',
  dead_letters: 'what no worker could do, with the reason',
  audit_logs: 'who did what, from where: chains of hashes, in monthly partitions',
  audit_chains: 'where the chain of each client begins and ends',
}

interface Column {
  table: string
  name: string
  type: string
  required: boolean
}
interface Reference {
  table: string
  target: string
  columns: string[]
  /** Goes with its parent. */
  cascades: boolean
}

/** The schema of the database at `url` as Markdown: a picture of the references, then a table of columns for each table. */
export async function describeSchema(url: string): Promise<string> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    const columns = await sql<Column[]>`
      select c.relname as table, a.attname as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as required
      from pg_attribute a join pg_class c on c.oid = a.attrelid
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped
        and c.relname <> 'schema_migrations'
      order by c.relname, a.attnum`
    const references = await sql<Reference[]>`
      select c.conrelid::regclass::text as table, c.confrelid::regclass::text as target, c.confdeltype = 'c' as cascades,
        array(select a.attname::text from unnest(c.conkey) with ordinality k(number, place)
          join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.number order by k.place) as columns
      from pg_constraint c join pg_class t on t.oid = c.conrelid
      where c.contype = 'f' and c.connamespace = 'public'::regnamespace and c.conparentid = 0
      order by 1, 2, c.conname`
    return write(columns, references)
  } finally {
    await sql.end({ timeout: 2 })
  }
}

function write(columns: Column[], references: Reference[]): string {
  const tables = Map.groupBy(columns, ({ table }) => table)
  const picture = references.map(
    ({ table, target, columns: keys, cascades }) =>
      `  ${target} ${cascades ? '||' : '|o'}--o{ ${table} : "${keys.filter((key) => key !== 'client_id').join(', ') || 'client_id'}"`,
  )
  const sections = [...tables].map(([table, of]) =>
    [
      `### ${table}`,
      '',
      `${PURPOSES[table] ?? '**no purpose given in db/data-model.ts**'}.`,
      '',
      '| column | type | | refers to |',
      '|---|---|---|---|',
      ...of.map(({ name, type, required }) => {
        const targets = references
          .filter((reference) => reference.table === table && reference.columns.includes(name))
          .map(({ target }) => target)
        return `| ${name} | ${type} | ${required ? '' : 'may be null'} | ${[...new Set(targets)].join(', ')} |`
      }),
    ].join('\n'),
  )
  return ['```mermaid', 'erDiagram', ...picture, '```', '', ...sections.flatMap((section) => [section, ''])].join('\n')
}

const START = '<!-- The rest is written by `bun run db:document`. -->'

/** The page with its generated part renewed. */
export const renewed = (page: string, schema: string) => `${page.slice(0, page.indexOf(START) + START.length)}\n\n${schema.trimEnd()}\n`
