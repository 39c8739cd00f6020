-- Runs that wait, held by no process: for a time, for somebody's consent, for money. And what each model call used.

alter table runs
  -- Why it waits, and when it is worth another look; null: only when somebody says so.
  add column waiting_for jsonb,
  add column waiting_since timestamptz,
  add column wake_at timestamptz;
create index runs_wake_idx on runs (wake_at) where status = 'waiting' and wake_at is not null;
create index runs_status_idx on runs (client_id, status, created_at, id);

create table approvals (
  id uuid primary key,
  client_id uuid not null,
  run_id uuid not null,
  agent_id uuid not null,
  -- The step that is asked about: asked once, decided once.
  step_key text not null,
  agent text not null,
  tool text not null,
  arguments jsonb not null,
  -- What it was allowed with, where that was changed.
  edited_arguments jsonb,
  state text not null default 'pending' check (state in ('pending', 'approved', 'rejected', 'expired')),
  reason text,
  -- Who: kind and ids.
  decided_by jsonb,
  decided_at timestamptz,
  expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  unique (run_id, step_key),
  foreign key (client_id, run_id) references runs (client_id, id) on delete cascade
);
create index approvals_list_idx on approvals (client_id, state, created_at, id);
create index approvals_run_idx on approvals (client_id, run_id);

-- One row for each model call, written with its result. It outlives agent, session and run: a bill does not shrink.
create table usage_records (
  run_id uuid not null,
  step_key text not null,
  client_id uuid not null references clients (id) on delete cascade,
  agent_id uuid not null,
  session_id text not null,
  model text not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  cached_input_tokens bigint not null,
  reasoning_tokens bigint not null,
  -- Billionths of a US dollar.
  cost_nanos bigint not null,
  created_at timestamptz not null default now(),
  primary key (run_id, step_key)
);
create index usage_records_client_idx on usage_records (client_id, created_at);
create index usage_records_agent_idx on usage_records (client_id, agent_id, created_at);

-- Where row-level security came first; else it finds these tables by itself.
do $$
begin
  if to_regprocedure('evo_bind_to_tenant(regclass,text)') is not null then
    perform evo_bind_to_tenant('approvals');
    perform evo_bind_to_tenant('usage_records');
  end if;
end
$$;
