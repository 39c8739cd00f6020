-- Work that follows a committed change: written with the change, carried by Redis, done when done_at says so here.

create table outbox (
  id uuid primary key,
  kind text not null check (kind in ('email', 'audit')),
  client_id uuid,
  payload jsonb not null,
  created_at timestamptz not null default now(),
  relayed_at timestamptz,
  done_at timestamptz
);
create index outbox_unfinished_idx on outbox (created_at) where done_at is null;
create index outbox_done_idx on outbox (done_at) where done_at is not null;

create table deliveries (
  id uuid primary key,
  outbox_id uuid not null unique,
  client_id uuid references clients (id) on delete set null,
  user_id uuid references users (id) on delete set null,
  template text not null,
  recipient text not null,
  subject text not null,
  state text not null check (state in ('queued', 'sending', 'held', 'sent', 'failed')),
  provider text not null,
  provider_message_id text,
  attempts integer not null default 0,
  next_attempt_at timestamptz,
  -- The worker that is sending it; a later one discards what an earlier one reports.
  lease_token bigint not null default 0,
  lease_until timestamptz,
  last_error text,
  -- Only with EMAIL_PROVIDER=mailbox: what a provider would have been given.
  body_text text,
  body_html text,
  created_at timestamptz not null default now(),
  updated_at timestamptz,
  sent_at timestamptz
);
create index deliveries_list_idx on deliveries (created_at desc, id);
create index deliveries_client_idx on deliveries (client_id, created_at desc);
create index deliveries_user_idx on deliveries (user_id);
create index deliveries_due_idx on deliveries (next_attempt_at) where state in ('queued', 'sending', 'held');

create table dead_letters (
  id uuid primary key,
  queue text not null,
  outbox_id uuid,
  entry jsonb not null,
  reason text not null,
  created_at timestamptz not null default now(),
  replayed_at timestamptz
);
create index dead_letters_list_idx on dead_letters (queue, created_at desc, id);

create table audit_logs (
  id uuid primary key,
  outbox_id uuid not null unique,
  client_id uuid references clients (id) on delete set null,
  user_id uuid references users (id) on delete set null,
  action text not null,
  resource_type text not null,
  resource_id text,
  details jsonb,
  ip_address text,
  user_agent text,
  trace_id text,
  created_at timestamptz not null
);
create index audit_logs_list_idx on audit_logs (created_at desc, id desc);
create index audit_logs_client_idx on audit_logs (client_id, created_at desc, id desc);
create index audit_logs_user_idx on audit_logs (user_id, created_at desc, id desc);
create index audit_logs_resource_idx on audit_logs (resource_type, resource_id, created_at desc);
