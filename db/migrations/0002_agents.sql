-- What a client defines: folders, provider keys, agents, contacts; and the catalogues that all clients share.

create table agent_folders (
  id uuid primary key default gen_random_uuid(),
  client_id uuid not null references clients (id) on delete cascade,
  name text not null check (length(name) between 1 and 200),
  description text check (length(description) <= 4000),
  created_at timestamptz not null default now(),
  updated_at timestamptz,
  unique (client_id, id)
);
create index agent_folders_list_idx on agent_folders (client_id, created_at, id);

create table api_keys (
  id uuid primary key default gen_random_uuid(),
  client_id uuid not null references clients (id) on delete cascade,
  name text not null check (length(name) between 1 and 200),
  provider text not null check (length(provider) between 1 and 100),
  encrypted_key text not null,
  last_four text not null default '',
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz,
  unique (client_id, id)
);
create index api_keys_name_idx on api_keys (client_id, name, id);
create index api_keys_provider_idx on api_keys (client_id, provider, id);
create index api_keys_created_at_idx on api_keys (client_id, created_at, id);

create table agents (
  id uuid primary key default gen_random_uuid(),
  client_id uuid not null references clients (id) on delete cascade,
  folder_id uuid,
  api_key_id uuid,
  name text not null check (length(name) between 1 and 200),
  description text,
  role text,
  goal text,
  type text not null check (type in ('llm', 'sequential', 'parallel', 'loop', 'a2a', 'workflow', 'task')),
  model text,
  instruction text,
  agent_card_url text,
  config jsonb not null default '{}',
  -- The agent's own key: its hash to look it up, its ciphertext for the owner who wants to see it again.
  key_hash bytea not null unique,
  encrypted_key text not null,
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz,
  unique (client_id, id),
  foreign key (client_id, folder_id) references agent_folders (client_id, id) on delete set null (folder_id),
  foreign key (client_id, api_key_id) references api_keys (client_id, id) on delete set null (api_key_id)
);
create index agents_name_idx on agents (client_id, name, id);
create index agents_created_at_idx on agents (client_id, created_at, id);
create index agents_folder_idx on agents (client_id, folder_id, name, id);
create index agents_api_key_idx on agents (client_id, api_key_id);

create table contacts (
  id uuid primary key default gen_random_uuid(),
  client_id uuid not null references clients (id) on delete cascade,
  ext_id text check (length(ext_id) <= 128),
  name text check (length(name) <= 200),
  meta jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz,
  unique (client_id, id),
  unique (client_id, ext_id)
);
create index contacts_list_idx on contacts (client_id, created_at, id);

create table mcp_servers (
  id uuid primary key default gen_random_uuid(),
  name text not null check (length(name) between 1 and 200),
  description text,
  config_type text not null default 'studio' check (config_type in ('studio', 'sse')),
  config_json jsonb not null default '{}',
  environments jsonb not null default '{}',
  tools jsonb not null default '[]',
  type text not null default 'official' check (type in ('official', 'community')),
  created_at timestamptz not null default now(),
  updated_at timestamptz
);
create index mcp_servers_list_idx on mcp_servers (created_at, id);

create table tools (
  id uuid primary key default gen_random_uuid(),
  name text not null check (length(name) between 1 and 200),
  description text,
  config_json jsonb not null default '{}',
  environments jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz
);
create index tools_list_idx on tools (created_at, id);
