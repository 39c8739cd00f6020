-- Tells clients' systems of runs that ended, of questions and of budgets, in the very statement that makes it so: told once, whichever process dies when.
-- The functions run as their owner, since a tenant's statement may not see all that they need. Nothing that was said in a conversation is told.

alter table budgets add column reached_at timestamptz;

-- A delivery for each webhook that wants the event. It costs a client without webhooks one look into an index.
create function evo_tell(client uuid, event text, data jsonb) returns void language sql security definer set search_path from current as $$
  with told as (
    insert into webhook_deliveries (id, client_id, webhook_id, event, payload, state, next_attempt_at)
    select gen_random_uuid(), w.client_id, w.id, event,
      jsonb_build_object('type', event, 'timestamp', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'data', data),
      'queued', now()
    from webhooks w where w.client_id = client and w.is_active and event = any(w.events)
    returning id, client_id
  )
  insert into outbox (id, kind, client_id, payload) select id, 'webhook', client_id, '{}' from told
$$;
-- It writes for whichever client it is given.
revoke execute on function evo_tell(uuid, text, jsonb) from public;

create function evo_tell_of_run() returns trigger language plpgsql security definer set search_path from current as $$
declare
  event text := case new.status when 'succeeded' then 'run.finished' else 'run.failed' end;
begin
  -- Not to sum up for nobody.
  if exists (select from webhooks where client_id = new.client_id and is_active and event = any(events)) then
    perform evo_tell(new.client_id, event, jsonb_build_object(
      'run_id', new.id, 'agent_id', new.agent_id, 'session_id', new.session_id, 'status', new.status,
      'created_at', new.created_at, 'started_at', new.started_at, 'finished_at', new.finished_at,
      'cost_usd', (select coalesce(sum(cost_nanos), 0)::float8 / 1e9 from usage_records where run_id = new.id),
      'error', new.error -> 'problem'
    ));
  end if;
  return null;
end
$$;
create trigger tell after update of finished_at on runs for each row
  when (old.finished_at is null and new.finished_at is not null and new.status in ('succeeded', 'failed')) execute function evo_tell_of_run();

create function evo_tell_of_approval() returns trigger language plpgsql security definer set search_path from current as $$
begin
  perform evo_tell(new.client_id, 'approval.wanted', jsonb_build_object(
    'approval_id', new.id, 'run_id', new.run_id, 'agent_id', new.agent_id, 'agent', new.agent, 'tool', new.tool,
    'created_at', new.created_at, 'expires_at', new.expires_at
  ));
  return null;
end
$$;
create trigger tell after insert on approvals for each row execute function evo_tell_of_approval();

-- A budget is reached when four fifths are spent (who refuses a call for want of money says so itself), and a higher limit is still to be reached.
create function evo_mark_reached_budget() returns trigger language plpgsql as $$
begin
  if new.limit_nanos > old.limit_nanos then
    new.reached_at := null;
  elsif new.reached_at is null and new.spent_nanos > old.spent_nanos and new.spent_nanos::numeric * 5 >= new.limit_nanos::numeric * 4 then
    new.reached_at := now();
  end if;
  return new;
end
$$;
create trigger mark_reached before update on budgets for each row execute function evo_mark_reached_budget();

-- The client's systems, and by mail those who own it.
create function evo_tell_of_budget() returns trigger language plpgsql security definer set search_path from current as $$
begin
  perform evo_tell(new.client_id, 'budget.reached', jsonb_build_object(
    'scope', new.scope, 'scope_id', new.scope_id, 'limit_usd', new.limit_nanos / 1e9, 'spent_usd', new.spent_nanos / 1e9,
    'reserved_usd', new.reserved_nanos / 1e9, 'reached_at', new.reached_at
  ));
  insert into outbox (id, kind, client_id, payload)
  select gen_random_uuid(), 'email', new.client_id, jsonb_build_object(
    'template', 'budget-reached', 'user_id', id, 'spent_usd', new.spent_nanos / 1e9, 'limit_usd', new.limit_nanos / 1e9
  )
  from users where client_id = new.client_id and role = 'owner' and is_active order by created_at, id limit 100;
  return null;
end
$$;
create trigger tell after update on budgets for each row
  when (old.reached_at is null and new.reached_at is not null) execute function evo_tell_of_budget();
