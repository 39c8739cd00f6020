-- Turns that another agent asked for over A2A, and whom to tell when they are over.

create table a2a_tasks (
  -- The task's id is its run's.
  run_id uuid primary key,
  client_id uuid not null,
  agent_id uuid not null,
  -- The conversation as the other side names it.
  context_id text not null check (length(context_id) between 1 and 512),
  created_at timestamptz not null default now(),
  unique (client_id, run_id),
  foreign key (client_id, run_id) references runs (client_id, id) on delete cascade,
  foreign key (client_id, agent_id) references agents (client_id, id) on delete cascade
);
create index a2a_tasks_agent_idx on a2a_tasks (client_id, agent_id, created_at desc, run_id);
create index a2a_tasks_context_idx on a2a_tasks (client_id, agent_id, context_id, created_at desc, run_id);

-- One row is one notification: it becomes due with the end of the run, and is its own outbox, since the end is committed here too.
create table a2a_push_configs (
  run_id uuid not null,
  id text not null check (length(id) between 1 and 200),
  client_id uuid not null,
  -- The words that it is told in.
  dialect text not null check (dialect in ('reference', '0.3', '1.0')),
  -- URL, token and headers, encrypted.
  sealed text not null,
  state text not null default 'pending' check (state in ('pending', 'sent', 'failed')),
  attempts integer not null default 0,
  due_at timestamptz not null default now(),
  -- What the last attempt came to.
  outcome text,
  created_at timestamptz not null default now(),
  primary key (run_id, id),
  foreign key (client_id, run_id) references a2a_tasks (client_id, run_id) on delete cascade
);
create index a2a_push_configs_task_idx on a2a_push_configs (client_id, run_id);
create index a2a_push_configs_due_idx on a2a_push_configs (due_at) where state = 'pending';

-- Where row-level security came first; else it finds these tables by itself.
do $$
begin
  if to_regprocedure('evo_bind_to_tenant(regclass,text)') is not null then
    perform evo_bind_to_tenant('a2a_tasks');
    perform evo_bind_to_tenant('a2a_push_configs');
  end if;
end
$$;
