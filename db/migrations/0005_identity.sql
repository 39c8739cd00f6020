-- Identity and access: roles in a client, invitations, refresh tokens, lockout, impersonation, machine keys, second factor.

-- What a person may do in their client. Platform admins have no client and no role.
alter table users add column role text check (role in ('owner', 'member', 'viewer'));
update users set role = 'owner' where client_id is not null;
alter table users add constraint users_role_check2 check ((role is null) = (client_id is null));
-- An initial password, set by somebody else, dies at this moment.
alter table users add column password_expires_at timestamptz;
-- A hash of the reference, which cut passwords at 72 bytes: accepted once, then replaced.
alter table users add column password_is_imported boolean not null default false;

-- Members may be made to use a second factor.
alter table clients add column require_mfa boolean not null default false;

create table invitations (
  id uuid primary key,
  client_id uuid not null references clients (id) on delete cascade,
  email text not null check (length(email) between 3 and 254),
  role text not null check (role in ('owner', 'member', 'viewer')),
  -- Derived from the id and a server key, like the tokens of one_time_tokens.
  token_hash bytea not null unique,
  invited_by uuid references users (id) on delete set null,
  expires_at timestamptz not null,
  accepted_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default now()
);
create unique index invitations_open_key on invitations (client_id, lower(email)) where accepted_at is null and revoked_at is null;
create index invitations_client_idx on invitations (client_id, created_at, id);
create index invitations_invited_by_idx on invitations (invited_by);

-- A change of address waits for the new address to confirm; the token carries it.
alter table one_time_tokens drop constraint one_time_tokens_purpose_check;
alter table one_time_tokens add constraint one_time_tokens_purpose_check check (purpose in ('verify-email', 'reset-password', 'change-email'));
alter table one_time_tokens add column new_email text check (length(new_email) between 3 and 254);

-- A sign-in is a family of refresh tokens, one generation after the other. Using an old generation ends the family.
alter table auth_sessions add column device text;
alter table auth_sessions add column revoked_reason text;
-- An admin who acts as a user of a client: the session is the admin's doing, and short.
alter table auth_sessions add column actor_user_id uuid references users (id) on delete cascade;
alter table auth_sessions add column actor_reason text;
-- Without a reference: the log tells who it was also when the admin is gone.
alter table audit_logs add column actor_user_id uuid;
create index audit_logs_actor_idx on audit_logs (actor_user_id, created_at desc, id desc) where actor_user_id is not null;
create index auth_sessions_actor_idx on auth_sessions (actor_user_id, created_at);
-- Whether the second factor was given at this sign-in.
alter table auth_sessions add column mfa_at timestamptz;

create table refresh_tokens (
  id uuid primary key,
  session_id uuid not null references auth_sessions (id) on delete cascade,
  token_hash bytea not null unique,
  generation integer not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  -- The token was exchanged for the next generation; within a short overlap the same successor is handed out again.
  rotated_at timestamptz,
  unique (session_id, generation)
);

-- Failed sign-ins per account and network ('*' is the account as a whole). Kept by a hash of the address, so that unknown accounts are locked alike.
create table sign_in_failures (
  account_hash bytea not null,
  network text not null,
  failures integer not null default 0,
  first_at timestamptz not null default now(),
  last_at timestamptz not null default now(),
  locked_until timestamptz,
  alerted_at timestamptz,
  primary key (account_hash, network)
);
create index sign_in_failures_last_at_idx on sign_in_failures (last_at);
-- Networks from which an account has signed in before.
create table known_networks (
  user_id uuid not null references users (id) on delete cascade,
  network text not null,
  last_at timestamptz not null default now(),
  primary key (user_id, network)
);

create table machine_keys (
  id uuid primary key,
  client_id uuid not null references clients (id) on delete cascade,
  -- Null: any agent of the client.
  agent_id uuid,
  name text not null check (length(name) between 1 and 200),
  -- The visible beginning of the key, by which people tell keys apart.
  prefix text not null,
  key_hash bytea not null unique,
  scopes text[] not null,
  created_by uuid references users (id) on delete set null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  -- The key that replaced this one; both work until expires_at.
  replaced_by uuid references machine_keys (id) on delete set null,
  unique (client_id, id),
  foreign key (client_id, agent_id) references agents (client_id, id) on delete cascade
);
create index machine_keys_list_idx on machine_keys (client_id, created_at, id);
create index machine_keys_agent_idx on machine_keys (client_id, agent_id);
create index machine_keys_created_by_idx on machine_keys (created_by);
create index machine_keys_replaced_by_idx on machine_keys (replaced_by);

create table second_factors (
  user_id uuid primary key references users (id) on delete cascade,
  -- TOTP secret (RFC 6238), sealed under the platform's key.
  sealed_secret text not null,
  confirmed_at timestamptz,
  -- The last time step that was accepted: a code works once.
  last_step bigint,
  created_at timestamptz not null default now()
);
create table recovery_codes (
  user_id uuid not null references users (id) on delete cascade,
  code_hash bytea not null,
  used_at timestamptz,
  primary key (user_id, code_hash)
);
