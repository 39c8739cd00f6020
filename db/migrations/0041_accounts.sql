-- Who was switched off by somebody, unlike who has yet to confirm the address: no link of a mail switches them on.
alter table users add column deactivated_at timestamptz;

-- A client may name any address as its own, and keeps that of the person who signed it up when they have another: neither keeps the address's owner from
-- signing up. Whoever does so while it is taken shares it.
alter table clients add column email_is_shared boolean not null default false;
drop index clients_email_key;
create unique index clients_email_key on clients (lower(email)) where not email_is_shared;
