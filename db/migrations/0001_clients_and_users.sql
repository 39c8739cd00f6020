-- Organisations, the people in them, and the platform's admins (who belong to no client).

create table clients (
  id uuid primary key default gen_random_uuid(),
  name text not null check (length(name) between 1 and 200),
  email text not null check (length(email) between 3 and 254),
  created_at timestamptz not null default now(),
  updated_at timestamptz
);
create unique index clients_email_key on clients (lower(email));
create index clients_created_at_idx on clients (created_at, id);

create table users (
  id uuid primary key default gen_random_uuid(),
  client_id uuid references clients (id) on delete cascade,
  email text not null check (length(email) between 3 and 254),
  name text check (length(name) <= 200),
  password_hash text not null,
  -- Set by somebody else for this user: dies after some days unless the user signs in and replaces it.
  password_is_initial boolean not null default false,
  locale text not null default 'en',
  is_active boolean not null default false,
  is_admin boolean not null default false,
  email_verified boolean not null default false,
  -- Access tokens issued before this moment are refused.
  tokens_not_before timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz,
  unique (client_id, id),
  check (is_admin = (client_id is null))
);
create unique index users_email_key on users (lower(email));
create index users_admins_idx on users (created_at, id) where is_admin;

create table auth_sessions (
  id uuid primary key,
  user_id uuid not null references users (id) on delete cascade,
  address text not null,
  user_agent text,
  created_at timestamptz not null default now(),
  last_seen_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz
);
create index auth_sessions_user_idx on auth_sessions (user_id, created_at);

-- Links in mails. The token itself is derived from the id and a server key, so that a dump of this table opens nothing.
create table one_time_tokens (
  id uuid primary key,
  user_id uuid not null references users (id) on delete cascade,
  purpose text not null check (purpose in ('verify-email', 'reset-password')),
  token_hash bytea not null unique,
  expires_at timestamptz not null,
  used_at timestamptz,
  created_at timestamptz not null default now()
);
create index one_time_tokens_user_idx on one_time_tokens (user_id, purpose);

-- One data key per client and generation, wrapped by a key-encryption key of the environment.
create table client_keys (
  id uuid primary key,
  client_id uuid not null references clients (id) on delete cascade,
  kek_id text not null,
  wrapped_key bytea not null,
  created_at timestamptz not null default now()
);
create index client_keys_client_idx on client_keys (client_id, created_at);
create index client_keys_kek_idx on client_keys (kek_id);

-- The answer of a POST, kept with the change that it made (one transaction), so that a retry gets the same answer.
create table idempotency_keys (
  scope text not null,
  route text not null,
  key text not null,
  fingerprint text not null,
  response jsonb,
  created_at timestamptz not null default now(),
  primary key (scope, route, key)
);
create index idempotency_keys_created_at_idx on idempotency_keys (created_at);
