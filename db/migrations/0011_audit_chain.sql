-- The audit log as a chain of hashes per client, in monthly partitions.

-- What has been written so far is written again, by the worker, as links of the chains.
insert into outbox (id, kind, client_id, payload, created_at)
select outbox_id, 'audit', client_id,
  jsonb_build_object(
    'user_id', user_id, 'actor_user_id', actor_user_id, 'client_id', client_id, 'action', action, 'resource_type', resource_type,
    'resource_id', resource_id, 'details', details, 'ip_address', ip_address, 'user_agent', user_agent, 'trace_id', trace_id,
    'created_at', to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
  ),
  created_at
from audit_logs
on conflict (id) do update set payload = excluded.payload, relayed_at = null, done_at = null;
drop table audit_logs;

-- One row for each chain: where it ends, so that a row missing at the end is noticed, and what precedes its first row since older ones were dropped.
-- The chain of a client has the client's id; that of the platform, of what belongs to no client, the nil UUID. It outlives the client.
create table audit_chains (
  id uuid primary key,
  seq bigint not null,
  hash bytea not null,
  recorded_at timestamptz not null,
  base_seq bigint not null,
  base_hash bytea not null
);

-- No foreign keys: a row is never changed by what becomes of others. The columns under personal_hash may be erased, which leaves the chain whole.
create table audit_logs (
  id uuid not null,
  chain_id uuid not null,
  seq bigint not null,
  client_id uuid,
  user_id uuid,
  actor_user_id uuid,
  action text not null,
  resource_type text not null,
  trace_id text,
  created_at timestamptz not null,
  -- When the worker wrote it, never earlier than the row before it: dropping the oldest partition takes the beginning of every chain.
  recorded_at timestamptz not null,
  resource_id text,
  details jsonb,
  ip_address text,
  user_agent text,
  salt bytea,
  personal_hash bytea not null,
  erased_at timestamptz,
  prev_hash bytea not null,
  hash bytea not null,
  primary key (id, recorded_at)
) partition by range (recorded_at);
create unique index audit_logs_chain_idx on audit_logs (chain_id, seq, recorded_at);
create index audit_logs_list_idx on audit_logs (created_at desc, id desc);
create index audit_logs_client_idx on audit_logs (client_id, created_at desc, id desc);
create index audit_logs_user_idx on audit_logs (user_id, created_at desc, id desc);
create index audit_logs_actor_idx on audit_logs (actor_user_id, created_at desc, id desc) where actor_user_id is not null;
create index audit_logs_resource_idx on audit_logs (resource_type, resource_id, created_at desc);

-- A worker takes older entries of a client along, so that they stand in the order in which they happened.
create index outbox_audit_idx on outbox (client_id, id) where kind = 'audit' and done_at is null;
