-- Files of a conversation: what users send and agents make, each under its name with versions. Their bytes are here in pieces, or in an object store.

create table files (
  id uuid primary key,
  client_id uuid not null,
  session_id text not null,
  filename text not null check (length(filename) between 1 and 255),
  version integer not null check (version >= 0),
  content_type text not null,
  size bigint not null,
  sha256 bytea not null,
  author text not null check (author in ('user', 'agent')),
  store text not null check (store in ('database', 'objects')),
  created_at timestamptz not null default now(),
  unique (client_id, id),
  unique (client_id, session_id, filename, version),
  foreign key (client_id, session_id) references sessions (client_id, id) on delete cascade
);

create table file_pieces (
  file_id uuid not null,
  position integer not null,
  client_id uuid not null,
  bytes bytea not null,
  primary key (client_id, file_id, position),
  foreign key (client_id, file_id) references files (client_id, id) on delete cascade
);

-- Objects that nothing refers to, to be removed from the object store: not before `due_at`, since some are only about to be referred to.
create table doomed_objects (
  key text primary key,
  due_at timestamptz not null default now()
);
create index doomed_objects_due_idx on doomed_objects (due_at);

-- With a file its object goes, whatever deleted it. Beyond the tenant's rights, like the object store itself.
create function evo_doom_object() returns trigger language plpgsql security definer set search_path from current as $$
begin
  insert into doomed_objects (key) values (old.client_id || '/' || old.id) on conflict do nothing;
  return null;
end
$$;
create trigger files_doom_object after delete on files for each row when (old.store = 'objects') execute function evo_doom_object();

select evo_bind_to_tenant('files');
select evo_bind_to_tenant('file_pieces');
do $$
begin
  if exists (select from pg_roles where rolname = 'evo_tenant') then
    grant select, insert, update, delete on doomed_objects to evo_tenant;
  end if;
end
$$;
