-- Conversations, the runs that move them on, the journal that lets a run survive its process, and the event log.

create table sessions (
  -- {external_id}_{agent_id}
  id text primary key,
  client_id uuid not null,
  agent_id uuid not null,
  external_id text not null check (length(external_id) between 1 and 128),
  contact_id uuid,
  state jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (client_id, id),
  foreign key (client_id, agent_id) references agents (client_id, id) on delete cascade,
  foreign key (client_id, contact_id) references contacts (client_id, id) on delete set null (contact_id)
);
create index sessions_client_idx on sessions (client_id, updated_at desc, id);
create index sessions_agent_idx on sessions (client_id, agent_id, updated_at desc, id);
create index sessions_contact_idx on sessions (client_id, contact_id);

-- One turn on a session.
create table runs (
  id uuid primary key,
  client_id uuid not null,
  agent_id uuid not null,
  session_id text not null,
  status text not null check (status in ('queued', 'running', 'waiting', 'needs_reconcile', 'succeeded', 'failed', 'cancelled')),
  on_disconnect text not null default 'continue' check (on_disconnect in ('continue', 'cancel')),
  input jsonb not null,
  -- Who asked: kind and ids, for the audit log and for work done on their behalf.
  caller jsonb not null default '{}',
  trace_id text not null,
  result jsonb,
  error jsonb,
  -- The process that executes it. The token grows with each owner: a write that carries an older one is refused.
  lease_owner text,
  lease_token bigint not null default 0,
  lease_until timestamptz,
  cancel_requested_at timestamptz,
  deadline_at timestamptz not null,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  unique (client_id, id),
  foreign key (client_id, session_id) references sessions (client_id, id) on delete cascade
);
-- A session does one thing at a time.
create unique index runs_session_busy_key on runs (session_id) where status in ('running', 'waiting', 'needs_reconcile');
create index runs_session_idx on runs (client_id, session_id, created_at, id);
create index runs_agent_idx on runs (client_id, agent_id, created_at, id);
create index runs_client_idx on runs (client_id, created_at, id);
create index runs_due_idx on runs (lease_until) where status in ('queued', 'running');

-- The journal: what is not deterministic happens once, its result is read back by whoever takes the run over.
-- A tool step left open by a crash is an effect of unknown outcome.
create table run_steps (
  run_id uuid not null,
  key text not null,
  client_id uuid not null,
  kind text not null check (kind in ('model', 'tool', 'remote', 'delay', 'value')),
  effect text not null check (effect in ('read-only', 'idempotent', 'unsafe')),
  state text not null check (state in ('open', 'done', 'failed')),
  lease_token bigint not null,
  input_hash text not null,
  result jsonb,
  error jsonb,
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (run_id, key),
  foreign key (client_id, run_id) references runs (client_id, id) on delete cascade
);
create index run_steps_client_idx on run_steps (client_id, run_id);

-- The run's event log in chunks of consecutive sequence numbers.
create table run_events (
  run_id uuid not null,
  first_seq bigint not null,
  last_seq bigint not null check (last_seq >= first_seq),
  client_id uuid not null,
  events jsonb not null,
  created_at timestamptz not null default now(),
  primary key (run_id, first_seq),
  foreign key (client_id, run_id) references runs (client_id, id) on delete cascade
);
create index run_events_client_idx on run_events (client_id, run_id);

-- The session's history: whole messages, oldest first by position.
create table events (
  id uuid primary key,
  position bigint generated always as identity,
  client_id uuid not null,
  session_id text not null,
  run_id uuid,
  -- The event's place in its run: a run that is executed again does not store it twice.
  ordinal integer,
  author text not null,
  content jsonb not null,
  actions jsonb not null default '{}',
  branch text,
  error_code text,
  error_message text,
  created_at timestamptz not null default now(),
  unique (run_id, ordinal),
  foreign key (client_id, session_id) references sessions (client_id, id) on delete cascade,
  foreign key (client_id, run_id) references runs (client_id, id) on delete cascade
);
create index events_session_idx on events (client_id, session_id, position);
