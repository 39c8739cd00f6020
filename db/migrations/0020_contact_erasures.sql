-- Receipts of erased contacts: where something was found and how much, never what. One for each contact, so that asking again gets the same.
create table contact_erasures (
  contact_id uuid primary key,
  client_id uuid not null references clients (id) on delete cascade,
  receipt jsonb not null,
  created_at timestamptz not null default now()
);
create index contact_erasures_client_idx on contact_erasures (client_id, created_at);

select evo_bind_to_tenant('contact_erasures');
