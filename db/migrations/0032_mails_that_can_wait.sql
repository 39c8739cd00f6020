-- Mails that nobody waits for are queued apart from those that somebody does wait for, in a kind of their own: a stream, a sweep and a list of what is due.

alter table outbox drop constraint outbox_kind_check;
alter table outbox add constraint outbox_kind_check check (kind in ('email', 'email-bulk', 'audit', 'webhook'));

-- Of its outbox row's kind.
alter table deliveries add column bulk boolean not null default false;
drop index deliveries_due_idx;
create index deliveries_due_idx on deliveries (bulk, next_attempt_at) where state in ('queued', 'sending', 'held');

create or replace function evo_tell_of_budget() returns trigger language plpgsql security definer set search_path from current as $$
begin
  perform evo_tell(new.client_id, 'budget.reached', jsonb_build_object(
    'scope', new.scope, 'scope_id', new.scope_id, 'limit_usd', new.limit_nanos / 1e9, 'spent_usd', new.spent_nanos / 1e9,
    'reserved_usd', new.reserved_nanos / 1e9, 'reached_at', new.reached_at
  ));
  insert into outbox (id, kind, client_id, payload)
  select gen_random_uuid(), 'email-bulk', new.client_id, jsonb_build_object(
    'template', 'budget-reached', 'user_id', id, 'spent_usd', new.spent_nanos / 1e9, 'limit_usd', new.limit_nanos / 1e9
  )
  from users where client_id = new.client_id and role = 'owner' and is_active order by created_at, id limit 100;
  return null;
end
$$;
