import { afterAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { Glob } from 'bun'
import { sql as drizzleSql, is } from 'drizzle-orm'
import { getTableConfig, type PgColumn, PgDialect, PgTable } from 'drizzle-orm/pg-core'
import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { lockReferrers } from '~/features/agents/queries'
import { listApprovals } from '~/features/approvals/queries'
import { listImpersonations } from '~/features/impersonation/queries'
import { listDead } from '~/features/queues/queries'
import { found } from '~/features/runs/queries/events'
import { isOpen } from '~/features/runs/table'
import { lockActiveAdmins } from '~/features/users/queries'
import type { Db } from '~/platform/db'
import { services } from './support/services'

/** What the migrations made, held against the Drizzle tables and against the rules that no column may forget. */

const SRC = join(import.meta.dir, '../src')
const sql = postgres(services.databaseUrl, { max: 1, onnotice: () => undefined })
afterAll(() => sql.end())

interface Column {
  table: string
  name: string
  type: string
  required: boolean
  /** A default or an identity. */
  filled: boolean
}
interface Key {
  table: string
  columns: string[]
  target: string
}
interface Index {
  table: string
  columns: string[]
}

const columns = await sql<Column[]>`
  select c.relname as table, a.attname as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as required,
    (a.atthasdef or a.attidentity <> '') as filled
  from pg_attribute a join pg_class c on c.oid = a.attrelid
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped and c.relname <> 'schema_migrations'
  order by c.relname, a.attname`
const foreignKeys = await sql<Key[]>`
  select c.conrelid::regclass::text as table, c.confrelid::regclass::text as target,
    array(select a.attname::text from unnest(c.conkey) k join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k) as columns
  from pg_constraint c where c.contype = 'f' and c.connamespace = 'public'::regnamespace`
/** Without partial ones: they do not find every row. An expression counts as a column without a name. */
const indexes = await sql<Index[]>`
  select i.indrelid::regclass::text as table,
    array(select coalesce(a.attname::text, '') from unnest(i.indkey::int2[]) with ordinality k(number, place)
      left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number order by k.place) as columns
  from pg_index i join pg_class c on c.oid = i.indexrelid
  where c.relnamespace = 'public'::regnamespace and not c.relispartition and i.indpred is null`
const checks = await sql<{ table: string; definition: string }[]>`
  select conrelid::regclass::text as table, pg_get_constraintdef(oid) as definition
  from pg_constraint where contype = 'c' and connamespace = 'public'::regnamespace`

const tables = await readTables()

async function readTables() {
  const found = []
  for (const path of [...new Glob('**/*table.ts').scanSync(SRC)].toSorted())
    for (const value of Object.values<unknown>(await import(join(SRC, path)))) if (is(value, PgTable)) found.push(getTableConfig(value))
  return found
}

const drizzleColumns: (Column & { drizzle: PgColumn })[] = tables.flatMap(({ name: table, columns }) =>
  columns.map((column) => ({
    table,
    name: column.name,
    type: column.getSQLType(),
    required: column.notNull,
    filled: column.hasDefault || column.generatedIdentity !== undefined,
    drizzle: column,
  })),
)

const describeColumn = ({ table, name, type, required, filled }: Column) =>
  `${table}.${name} ${type}${required ? ' not null' : ''}${filled ? ' default' : ''}`

test('the Drizzle tables are the migrated schema: every table, column, type, nullability and default', () => {
  expect(tables.length).toBeGreaterThan(20)
  expect(drizzleColumns.map(describeColumn).toSorted()).toEqual(columns.map(describeColumn).toSorted())
})

test('the values that Drizzle allows in a column are those that PostgreSQL checks', () => {
  const choices = drizzleColumns.filter(({ drizzle }) => drizzle.enumValues !== undefined)
  expect(choices.length).toBeGreaterThan(8)
  for (const { table, name, drizzle } of choices) {
    const rule = checks.find((check) => check.table === table && new RegExp(`^CHECK \\(\\(${name} = ANY`).test(check.definition))
    const allowed = [...(rule?.definition ?? '').matchAll(/'([^']*)'::text/g)].map(([, value]) => value)
    expect([`${table}.${name}`, allowed.toSorted()]).toEqual([`${table}.${name}`, [...(drizzle.enumValues ?? [])].toSorted()])
  }
})

test('defect 71: JSON is jsonb, a moment has a time zone, a text has no hidden limit', () => {
  const odd = columns.filter(({ type }) => /^json$|without time zone|^character|^real$|^double|^money/.test(type))
  expect(odd.map(describeColumn)).toEqual([])
})

test('defect 71: a row belongs to a client, unless it may belong to nobody', () => {
  const loose = columns.filter(({ name, required }) => name === 'client_id' && !required).map(({ table }) => table)
  expect(loose.toSorted()).toEqual([
    'audit_logs', // outlives its client; what the platform does belongs to none
    'deliveries', // outlives its client; admins get mails too
    'outbox',
    'users', // platform admins
  ])
})

test('a reference between rows of clients carries the client, so that none leads to another', () => {
  const owned = new Set(columns.filter(({ name }) => name === 'client_id').map(({ table }) => table))
  const loose = foreignKeys.filter(
    ({ table, target, columns }) => owned.has(table) && owned.has(target) && target !== 'clients' && !columns.includes('client_id'),
  )
  // All are set to null when the user goes, and an admin, who has no client, may invite and make keys; and the client's own column then stays: a composite key would take both.
  expect(loose.map(({ table, target }) => `${table} -> ${target}`).toSorted()).toEqual([
    'deliveries -> users',
    'invitations -> users',
    'machine_keys -> users',
  ])
})

test('defect 71: every foreign key has an index that finds its rows', () => {
  const slow = foreignKeys.filter((key) => !indexes.some((index) => index.table === key.table && supports(index, key.columns)))
  expect(slow.map(({ table, columns }) => `${table} (${columns})`)).toEqual([])
})

/** Its leading columns belong to the key and hold all of it, but for the client: what is referenced has one client only. */
function supports(index: Index, key: string[]) {
  const at = index.columns.findIndex((column) => !key.includes(column))
  const lead = at === -1 ? index.columns : index.columns.slice(0, at)
  const needed = key.length === 1 ? key : key.filter((column) => column !== 'client_id')
  return needed.every((column) => lead.includes(column))
}

test("every client's rows are found by an index", () => {
  const owned = columns.filter(({ name }) => name === 'client_id').map(({ table }) => table)
  const slow = owned.filter((table) => !indexes.some((index) => index.table === table && index.columns[0] === 'client_id'))
  expect(slow).toEqual(['outbox']) // nobody asks for a client's: rows are taken by age and state
})

/** How PostgreSQL finds the answer once `fill` has made the tables large, and it has `counted` what is in them; nothing of it stays. */
async function planOf(
  fill: string,
  { sql: text, params }: { sql: string; params: unknown[] },
  { counted }: { counted: boolean },
): Promise<string> {
  let plan = ''
  await sql
    .begin(async (tx) => {
      await tx`set local session_replication_role = replica` // rows without others to belong to
      await tx.unsafe(fill)
      if (counted) await tx`analyze`
      const lines = await tx.unsafe(`explain ${text}`, params as never[])
      plan = lines.map((line) => line['QUERY PLAN']).join('\n')
      throw ROLLBACK
    })
    .catch((error: unknown) => {
      if (error !== ROLLBACK) throw error
    })
  return plan
}
const CLIENT = '0199c000-0000-7000-8000-000000000001'
const ROLLBACK = new Error('nothing of it shall stay')
const PAGE = { skip: 0, limit: 20 }
/** Never asked: it only writes statements. */
const writing = drizzle.mock() as unknown as Db

test.each([
  {
    what: 'whether a session is busy is told by the runs that have not ended, however many have',
    index: 'runs_open_idx',
    fill: `insert into runs (id, client_id, agent_id, session_id, status, input, trace_id, deadline_at)
      select gen_random_uuid(), '${CLIENT}', '${CLIENT}', 'session-' || n % 10, 'succeeded', '{}', '', now() from generate_series(1, 2000) n`,
    query: new PgDialect().sqlToQuery(
      drizzleSql`select 1 from runs where client_id = ${CLIENT} and session_id = 'session-1' and ${isOpen(drizzleSql`status`)}`,
    ),
  },
  {
    what: 'a page of approvals is read in its order, not sorted out of all',
    index: 'approvals_newest_idx',
    fill: `insert into approvals (id, client_id, run_id, agent_id, step_key, agent, tool, arguments, expires_at, created_at)
      select gen_random_uuid(), '${CLIENT}', gen_random_uuid(), '${CLIENT}', '', '', '', '{}', now(), now() - n * interval '1 minute' from generate_series(1, 2000) n`,
    query: listApprovals(writing, { clientId: CLIENT, agentId: null }, { ...PAGE, state: undefined, runId: undefined }).toSQL(),
  },
  {
    what: 'impersonations are found among all sign-ins by an index of their own',
    index: 'auth_sessions_impersonations_idx',
    fill: `insert into auth_sessions (id, user_id, user_agent, address, expires_at) select gen_random_uuid(), '${CLIENT}', '', '', now() from generate_series(1, 2000)`,
    query: listImpersonations(writing, PAGE).toSQL(),
  },
  {
    what: 'the admins are found among all users by an index of their own',
    index: 'users_admin_idx',
    fill: `insert into users (id, client_id, role, email, name, password_hash) select gen_random_uuid(), '${CLIENT}', 'member', n || '@example.com', '', '' from generate_series(1, 2000) n`,
    query: lockActiveAdmins(writing).toSQL(),
  },
  {
    what: 'who names an agent is found without reading all agents of its client',
    index: 'agents_targets_idx',
    fill: `insert into agents (client_id, name, type, config, key_hash, encrypted_key)
      select '${CLIENT}', 'guide', 'sequential', jsonb_build_object('sub_agents', jsonb_build_array(gen_random_uuid())), n::text::bytea, '' from generate_series(1, 2000) n`,
    query: lockReferrers(writing, CLIENT, CLIENT, 501).toSQL(),
  },
  {
    what: 'dead letters are found among all that were replayed',
    index: 'dead_letters_open_idx',
    fill: `insert into dead_letters (id, queue, entry, reason, replayed_at) select gen_random_uuid(), 'email', '{}', '', now() from generate_series(1, 2000)`,
    query: listDead(writing, 'email', PAGE).toSQL(),
  },
])('$what', async ({ index, fill, query }) => {
  expect(await planOf(fill, query, { counted: true })).toContain(index)
})

test.each([true, false])(
  'what a contact said is found by the contact, not by going through all sessions of an agent; counted: %p',
  async (counted) => {
    const fill = `insert into sessions (id, client_id, agent_id, external_id, contact_id)
    select 'e' || n || '_${CLIENT}', '${CLIENT}', '${CLIENT}', 'e' || n, md5(n::text)::uuid from generate_series(1, 5000) n`
    const search = { clientId: CLIENT, agentId: CLIENT, sessionId: `e7_${CLIENT}`, runId: CLIENT, query: 'a word', limit: 10 }
    expect(await planOf(fill, new PgDialect().sqlToQuery(found(search)), { counted })).toContain('sessions_contact_idx')
  },
)

test('defect 57: what an event did is JSON; bytes are hashes, sealed keys and the pieces of files', () => {
  expect(columns.filter(({ table, name }) => table === 'events' && name === 'actions').map(describeColumn)).toEqual([
    expect.stringContaining(' jsonb '),
  ])
  const bytes = columns
    .filter(({ type, name }) => type === 'bytea' && !/hash$|^sha256$/.test(name))
    .map(({ table, name }) => `${table}.${name}`)
  expect(bytes.toSorted()).toEqual([
    'attempt_counters.subject', // a hash
    'audit_logs.salt',
    'client_keys.wrapped_key',
    'file_pieces.bytes',
  ])
})
