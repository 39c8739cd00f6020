-- An audit entry that stands in the log is no dead letter. A worker of the version before, at work beside new ones while a deployment rolls, looks for
-- entries in the outbox alone: one that a new worker has moved into the log would be unknown to it and set aside.

create function evo_skip_logged_letter() returns trigger language plpgsql set search_path from current as $$
begin
  if exists (select from audit_logs where id = new.outbox_id) then
    return null;
  end if;
  return new;
end
$$;
create trigger dead_letters_logged before insert on dead_letters
  for each row when (new.queue = 'audit' and new.outbox_id is not null) execute function evo_skip_logged_letter();
