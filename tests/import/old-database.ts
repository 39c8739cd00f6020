import { createCipheriv, createHmac } from 'node:crypto'
import postgres from 'postgres'

/** The old server's ENCRYPTION_KEY. */
export const OLD_KEY = Buffer.alloc(32, 3).toString('base64url')
export const ADA_PASSWORD = 'the old password of ada'
/** 80 bytes, of which the old server's library hashed 72. */
export const ROOT_PASSWORD = 'a root password that is longer than the seventy-two bytes that bcrypt looks at!!'
/** In clear, as the old server had it. */
export const CATALOGUE_SECRET = 'in-the-catalogue-9Xk4'
export const PROVIDER_KEY = 'sk-old-provider-key-0001'

const id = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
export const IDS = {
  acme: id(1),
  globex: id(2),
  acmeTwin: id(3),
  ada: id(11),
  bob: id(12),
  root: id(13),
  nobody: id(14),
  folder: id(21),
  orphanFolder: id(22),
  key: id(31),
  badKey: id(32),
  server: id(41),
  tool: id(51),
  helper: id(61),
  chain: id(62),
  crew: id(63),
  twin: id(64),
  foreign: id(65),
  gone: id(69),
}

/** Fernet as the reference's library writes it. */
function fernet(key: string, text: string): string {
  const secret = Buffer.from(key, 'base64url')
  const iv = Buffer.alloc(16, 9)
  const cipher = createCipheriv('aes-128-cbc', secret.subarray(16), iv)
  const time = Buffer.alloc(8)
  time.writeBigUInt64BE(1_750_000_000n)
  const body = Buffer.concat([Buffer.from([0x80]), time, iv, cipher.update(text, 'utf8'), cipher.final()])
  return Buffer.concat([body, createHmac('sha256', secret.subarray(0, 16)).update(body).digest()])
    .toString('base64')
    .replaceAll('+', '-')
    .replaceAll('/', '_')
}

const TABLES = `
  create table clients (id uuid primary key, name varchar not null, email varchar not null unique, created_at timestamptz default now(), updated_at timestamptz);
  create table users (id uuid primary key, email varchar not null unique, password_hash varchar not null, client_id uuid references clients on delete cascade,
    is_active boolean default false, is_admin boolean default false, email_verified boolean default false, verification_token varchar, verification_token_expiry timestamptz,
    password_reset_token varchar, password_reset_expiry timestamptz, created_at timestamptz default now(), updated_at timestamptz);
  create table agent_folders (id uuid primary key, client_id uuid references clients on delete cascade, name varchar not null, description text, created_at timestamptz default now(), updated_at timestamptz);
  create table api_keys (id uuid primary key, client_id uuid references clients on delete cascade, name varchar not null, provider varchar not null, encrypted_key varchar not null,
    is_active boolean default true, created_at timestamptz default now(), updated_at timestamptz);
  create table agents (id uuid primary key, client_id uuid references clients on delete cascade, name varchar not null, role varchar, goal text, description text, type varchar not null,
    model varchar default '', api_key_id uuid references api_keys on delete set null, instruction text, agent_card_url varchar, folder_id uuid references agent_folders on delete set null,
    config json default '{}', created_at timestamptz default now(), updated_at timestamptz);
  create table mcp_servers (id uuid primary key, name varchar not null, description text, config_type varchar not null default 'studio', config_json json not null default '{}',
    environments json not null default '{}', tools json not null default '[]', type varchar not null default 'official', created_at timestamptz default now(), updated_at timestamptz);
  create table tools (id uuid primary key, name varchar not null, description text, config_json json not null default '{}', environments json not null default '{}',
    created_at timestamptz default now(), updated_at timestamptz);
  create table audit_logs (id uuid primary key, user_id uuid references users on delete set null, action varchar not null, resource_type varchar not null, resource_id varchar,
    details json, ip_address varchar, user_agent varchar, created_at timestamptz default now());
  create table sessions (app_name varchar, user_id varchar, id varchar, state jsonb, create_time timestamp, update_time timestamp, primary key (app_name, user_id, id));
  create table events (id varchar, app_name varchar, user_id varchar, session_id varchar, invocation_id varchar, author varchar, branch varchar, timestamp timestamp, content jsonb,
    actions bytea, long_running_tool_ids_json text, grounding_metadata jsonb, partial boolean, turn_complete boolean, error_code varchar, error_message varchar, interrupted boolean,
    primary key (id, app_name, user_id, session_id), foreign key (app_name, user_id, session_id) references sessions on delete cascade);
`

/** Fills the empty database at `url` with what a server of Evo AI 0.1.0 would have left there, its faults included. */
export async function makeOldDatabase(url: string) {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  const hash = (password: string) => Bun.password.hash(password, { algorithm: 'bcrypt', cost: 4 })
  const insert = (table: string, rows: Record<string, unknown>[]) => sql`insert into ${sql(table)} ${sql(rows)}`
  try {
    await sql.unsafe(TABLES)
    await insert('clients', [
      { id: IDS.acme, name: 'Acme', email: 'Office@acme.example', created_at: '2025-01-01T00:00:00Z' },
      { id: IDS.globex, name: 'Globex', email: 'office@globex.example', created_at: '2025-01-02T00:00:00Z' },
      { id: IDS.acmeTwin, name: 'Acme again', email: 'office@acme.example', created_at: '2025-01-03T00:00:00Z' },
    ])
    await insert('users', [
      {
        id: IDS.ada,
        email: 'Ada@acme.example',
        password_hash: await hash(ADA_PASSWORD),
        client_id: IDS.acme,
        is_active: true,
        is_admin: false,
        email_verified: true,
      },
      {
        id: IDS.bob,
        email: 'bob@globex.example',
        password_hash: await hash('bobs password'),
        client_id: IDS.globex,
        is_active: false,
        is_admin: false,
        email_verified: true,
      },
      {
        id: IDS.root,
        email: 'root@evo.example',
        password_hash: await hash(ROOT_PASSWORD.slice(0, 72)),
        client_id: null,
        is_active: true,
        is_admin: true,
        email_verified: true,
      },
      {
        id: IDS.nobody,
        email: 'nobody@evo.example',
        password_hash: await hash('nobodys password'),
        client_id: null,
        is_active: true,
        is_admin: false,
        email_verified: true,
      },
    ])
    await insert('agent_folders', [
      { id: IDS.folder, client_id: IDS.acme, name: 'Sales', description: null },
      { id: IDS.orphanFolder, client_id: null, name: 'Lost', description: null },
    ])
    await insert('api_keys', [
      {
        id: IDS.key,
        client_id: IDS.acme,
        name: 'OpenAI',
        provider: 'openai',
        encrypted_key: fernet(OLD_KEY, PROVIDER_KEY),
        is_active: true,
      },
      {
        id: IDS.badKey,
        client_id: IDS.globex,
        name: 'Older',
        provider: 'openai',
        encrypted_key: fernet(Buffer.alloc(32, 4).toString('base64url'), 'x'),
        is_active: true,
      },
    ])
    await insert('mcp_servers', [
      {
        id: IDS.server,
        name: 'Files',
        config_type: 'studio',
        config_json: sql.json({ command: 'npx', args: ['-y', '@acme/files@1.0.0'], env: { TOKEN: CATALOGUE_SECRET, OWN: 'env@@OWN' } }),
        environments: sql.json({}),
      },
    ])
    await insert('tools', [
      {
        id: IDS.tool,
        name: 'Weather',
        config_json: sql.json({ a: 1, headers: { 'x-key': CATALOGUE_SECRET } }),
        environments: sql.json({}),
      },
    ])
    const agent = {
      client_id: IDS.acme,
      type: 'llm',
      model: 'demo/echo',
      instruction: 'Be kind.',
      folder_id: null as string | null,
      api_key_id: null as string | null,
    }
    await insert('agents', [
      {
        ...agent,
        id: IDS.helper,
        name: 'helper',
        folder_id: IDS.folder,
        api_key_id: IDS.key,
        config: sql.json({ api_key: 'the-old-agent-key', load_memory: true }),
        created_at: '2025-02-01T00:00:00Z',
      },
      {
        ...agent,
        id: IDS.chain,
        name: 'chain',
        type: 'sequential',
        model: '',
        config: sql.json({ sub_agents: [IDS.helper] }),
        created_at: '2025-02-02T00:00:00Z',
      },
      { ...agent, id: IDS.crew, name: 'crew', type: 'crew_ai', config: sql.json({}), created_at: '2025-02-03T00:00:00Z' },
      { ...agent, id: IDS.twin, name: 'twin', config: sql.json({ api_key: 'the-old-agent-key' }), created_at: '2025-02-04T00:00:00Z' },
      {
        ...agent,
        id: IDS.foreign,
        client_id: IDS.globex,
        name: 'foreign',
        folder_id: IDS.folder,
        api_key_id: IDS.key,
        config: sql.json({}),
        created_at: '2025-02-05T00:00:00Z',
      },
    ])
    await fillSessions(insert, sql)
  } finally {
    await sql.end({ timeout: 2 })
  }
}

const EVENTS_OF_LONG_SESSION = 250

async function fillSessions(insert: (table: string, rows: Record<string, unknown>[]) => Promise<unknown>, sql: postgres.Sql) {
  const session = (userId: string, agentId: string) => ({
    app_name: agentId,
    user_id: userId,
    id: `${userId}_${agentId}`,
    state: sql.json({ mood: 'fine' }),
    create_time: '2025-03-01 10:00:00',
    update_time: '2025-03-01 11:00:00',
  })
  await insert('sessions', [session('20250301', IDS.helper), session('with_underscore', IDS.helper), session('lost', IDS.gone)])
  const event = (userId: string, agentId: string, n: number, author: string, content: unknown) => ({
    id: `ev${String(n).padStart(6, '0')}`,
    app_name: agentId,
    user_id: userId,
    session_id: `${userId}_${agentId}`,
    invocation_id: 'e-1',
    author,
    timestamp: new Date(Date.UTC(2025, 2, 1, 10, 0, n)).toISOString().slice(0, -1),
    content: content === null ? null : sql.json(content as postgres.JSONValue),
    // A pickle, which nobody opens.
    actions: Buffer.from('80049500', 'hex'),
    partial: false,
  })
  const says = (role: string, text: string) => ({ role, parts: [{ text }] })
  await insert(
    'events',
    Array.from({ length: EVENTS_OF_LONG_SESSION }, (_, n) =>
      event('20250301', IDS.helper, n, n % 2 === 0 ? 'user' : 'helper', says(n % 2 === 0 ? 'user' : 'model', `line ${n}`)),
    ),
  )
  await insert('events', [
    event('with_underscore', IDS.helper, 1, 'user', {
      role: 'user',
      parts: [{ text: 'see this' }, { inlineData: { data: 'aGk=', mimeType: 'text/plain' } }],
    }),
    event('with_underscore', IDS.helper, 2, 'helper', null),
    event('lost', IDS.gone, 1, 'user', says('user', 'anybody?')),
  ])
}
