-- Whoever talks to an agent is a contact of the agent's client: found by the external id, or made. With the session, so that it costs no round trip.
create function evo_link_contact() returns trigger language plpgsql as $$
begin
  -- A turn of a session that exists changes nothing: its contact may have been deleted on purpose.
  if new.contact_id is null and not exists (select from sessions where id = new.id) then
    insert into contacts (client_id, ext_id) values (new.client_id, new.external_id) on conflict (client_id, ext_id) do nothing;
    select id into new.contact_id from contacts where client_id = new.client_id and ext_id = new.external_id;
  end if;
  return new;
end
$$;
create trigger sessions_contact before insert on sessions for each row execute function evo_link_contact();
