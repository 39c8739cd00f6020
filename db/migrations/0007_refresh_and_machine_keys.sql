-- Sign-ins that are refreshed, and the keys of programs.

-- The SHA-256 of the current refresh token; a sign-in without one (an impersonation) ends with its access token.
alter table auth_sessions add column refresh_hash bytea;
-- How often it was refreshed: a token that carries a smaller number has been used before.
alter table auth_sessions add column refresh_generation integer not null default 0;
alter table auth_sessions add column refreshed_at timestamptz;

create table machine_keys (
  id uuid primary key,
  client_id uuid not null references clients (id) on delete cascade,
  -- The one agent that it is for; null: any of the client.
  agent_id uuid,
  name text not null check (length(name) between 1 and 200),
  scopes text[] not null check (cardinality(scopes) between 1 and 20),
  -- SHA-256. The secret itself is shown once and kept nowhere.
  key_hash bytea not null unique,
  last_four text not null,
  -- After a rotation the former secret is good for a while.
  previous_hash bytea unique,
  previous_expires_at timestamptz,
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  created_by uuid references users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz,
  unique (client_id, id),
  foreign key (client_id, agent_id) references agents (client_id, id) on delete cascade
);
create index machine_keys_list_idx on machine_keys (client_id, created_at, id);
create index machine_keys_agent_idx on machine_keys (client_id, agent_id);
create index machine_keys_created_by_idx on machine_keys (created_by);
