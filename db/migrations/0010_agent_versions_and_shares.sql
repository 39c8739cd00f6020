-- What an agent was before each change, and the key of its share link, which opens nothing but the chat.

create table agent_versions (
  client_id uuid not null,
  agent_id uuid not null,
  version integer not null,
  -- As it stood in `agents`: the secrets of its config are sealed for the same agent.
  definition jsonb not null,
  -- When the version came into being.
  made_at timestamptz not null,
  primary key (client_id, agent_id, version),
  foreign key (client_id, agent_id) references agents (client_id, id) on delete cascade
);

alter table agents
  add column share_key_hash bytea,
  add column share_encrypted_key text,
  add constraint agents_share_key_check check ((share_key_hash is null) = (share_encrypted_key is null));
create unique index agents_share_key_key on agents (share_key_hash);

-- Where row-level security came first; else it binds this table with all others.
do $$
begin
  if exists (select from pg_proc where proname = 'evo_bind_to_tenant') then
    perform evo_bind_to_tenant('agent_versions');
  end if;
end
$$;
