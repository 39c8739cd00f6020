-- MCP: whose tools are believed, and the definitions that an agent's owner knows.

-- An admin vouches for what this server's tools say about themselves.
alter table mcp_servers add column trusted boolean not null default false;

create table mcp_tools (
  client_id uuid not null,
  agent_id uuid not null,
  -- Of the catalogue, or by the hash of its URL.
  server_key text not null check (length(server_key) between 1 and 100),
  name text not null,
  server_name text not null,
  -- What may be offered to a model: as it was first seen, or accepted since. Null: it came later and nobody has accepted it.
  accepted_hash text,
  accepted jsonb,
  accepted_at timestamptz,
  -- What the server offers instead, waiting to be accepted.
  offered_hash text,
  offered jsonb,
  offered_at timestamptz,
  primary key (client_id, agent_id, server_key, name),
  foreign key (client_id, agent_id) references agents (client_id, id) on delete cascade
);
