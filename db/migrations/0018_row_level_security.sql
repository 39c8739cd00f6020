-- The second line of tenancy. With DATABASE_RLS=enforce a tenant's statements run under the role evo_tenant, to which these policies show only the rows of
-- the client in evo.client_id. The owner of the tables, as which everything else runs, is not bound by them.
-- Who may not make roles goes without: the server then refuses to start with DATABASE_RLS=enforce.
do $$
begin
  if not exists (select from pg_roles where rolname = 'evo_tenant') then
    create role evo_tenant nologin;
  end if;
  execute format('grant evo_tenant to %I', current_user);
exception
  when insufficient_privilege then raise notice 'no role evo_tenant: %', sqlerrm;
  when duplicate_object or unique_violation then null; -- another replica's database on the same server
end
$$;

create function evo_client_id() returns uuid language sql stable parallel safe
  return nullif(current_setting('evo.client_id', true), '')::uuid;

-- Binds a table to the tenant: by its client_id, else by `visible`, an expression over its columns. Later migrations call it for the tables that they add.
create function evo_bind_to_tenant(bound regclass, visible text default 'client_id = evo_client_id()') returns void language plpgsql as $$
begin
  execute format('alter table %s enable row level security', bound);
  execute format('drop policy if exists tenant on %s', bound);
  execute format('create policy tenant on %s using (%s) with check (%s)', bound, visible, visible);
  if exists (select from pg_roles where rolname = 'evo_tenant') then
    execute format('grant select, insert, update, delete on %s to evo_tenant', bound);
  end if;
end
$$;

do $$
declare
  found record;
begin
  -- What belongs to a client, what belongs to a person, and the client itself.
  for found in
    select c.oid::regclass as name,
      bool_or(a.attname = 'client_id') as of_client
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname in ('client_id', 'user_id') and not a.attisdropped
    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    group by c.oid
  loop
    if found.of_client then
      perform evo_bind_to_tenant(found.name);
    else
      perform evo_bind_to_tenant(found.name, 'exists (select from users u where u.id = user_id)');
    end if;
  end loop;
  perform evo_bind_to_tenant('clients', 'id = evo_client_id()');
  -- What follows from a tenant's change may be the platform's: it is written, and not seen again.
  create policy tenant_writes on outbox for insert with check (client_id is null);
  if exists (select from pg_roles where rolname = 'evo_tenant') then
    execute format('grant usage on schema %I to evo_tenant', current_schema());
    execute format('grant usage on all sequences in schema %I to evo_tenant', current_schema());
    -- Keyed by the caller, whom the server names, and by who signs in.
    grant select, insert, update, delete on idempotency_keys, attempt_counters to evo_tenant;
    -- The catalogues are everybody's to read.
    grant select on mcp_servers, tools, schema_migrations to evo_tenant;
  end if;
end
$$;
