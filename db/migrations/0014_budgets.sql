-- What may be spent on models, all amounts in billionths of a US dollar. Before a call its worst case is reserved, after it the real cost is spent.

create table budgets (
  client_id uuid not null references clients (id) on delete cascade,
  scope text not null check (scope in ('client', 'agent', 'session')),
  -- The id of that client, agent or session.
  scope_id text not null check (length(scope_id) between 1 and 200),
  limit_nanos bigint not null check (limit_nanos >= 0),
  spent_nanos bigint not null default 0,
  reserved_nanos bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz,
  primary key (client_id, scope, scope_id)
);

-- Set aside for a call that is under way, in each budget that it falls under. What a crash leaves here counts as spent: nobody knows what the provider did.
create table budget_reservations (
  run_id uuid not null,
  step_key text not null,
  client_id uuid not null references clients (id) on delete cascade,
  agent_id uuid not null,
  session_id text not null,
  amount_nanos bigint not null,
  created_at timestamptz not null default now(),
  primary key (run_id, step_key)
);
create index budget_reservations_client_idx on budget_reservations (client_id);

-- Where row-level security came first; else it finds these tables by itself.
do $$
begin
  if to_regprocedure('evo_bind_to_tenant(regclass,text)') is not null then
    perform evo_bind_to_tenant('budgets');
    perform evo_bind_to_tenant('budget_reservations');
  end if;
end
$$;
