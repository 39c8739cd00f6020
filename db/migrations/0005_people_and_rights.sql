-- People and rights: roles in a client, initial passwords, invitations, impersonation.

-- What a person may do in their client. Platform admins have no client and no role.
alter table users add column role text check (role in ('owner', 'member', 'viewer'));
update users set role = 'owner' where client_id is not null;
alter table users add constraint users_role_of_client_check check ((role is null) = (client_id is null));
-- An initial password, set by somebody else, dies at this moment.
alter table users add column password_expires_at timestamptz;

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

-- An admin who acts as a user of a client: the session is the admin's doing, and short.
alter table auth_sessions add column actor_user_id uuid references users (id) on delete cascade;
alter table auth_sessions add column actor_reason text;
-- Without a reference: the log tells who it was also when the admin is gone.
alter table audit_logs add column actor_user_id uuid;
create index audit_logs_actor_idx on audit_logs (actor_user_id, created_at desc, id desc) where actor_user_id is not null;
create index auth_sessions_actor_idx on auth_sessions (actor_user_id, created_at);
