-- How many runs of a client are queued or running, such that whoever then adds one within the transaction makes it one more and no other slips in between.
-- Far from the limit starts go on side by side, eight at most, each behind a lock of its own: so many can be under way unseen. Near it they go one by one, behind all eight.
-- The locks are the transaction's, and end when what it did is to be seen.
create function evo_count_runs_to_add(client uuid, most integer) returns integer language plpgsql as $$
declare
  lanes constant integer := 8;
  space constant integer := hashtext('runs of ' || client);
  active integer;
begin
  select count(*) into active from runs where client_id = client and status in ('queued', 'running');
  if active >= most then
    return active;
  end if;
  if active <= most - 2 * lanes then
    perform pg_advisory_xact_lock(space, pg_backend_pid() % lanes);
    select count(*) into active from runs where client_id = client and status in ('queued', 'running');
    -- It filled up meanwhile. To wait for the other locks behind this one could be for ever: the whole is tried again.
    if active > most - lanes then
      raise exception 'many runs began at once' using errcode = 'serialization_failure';
    end if;
    return active;
  end if;
  for lane in 0 .. lanes - 1 loop
    perform pg_advisory_xact_lock(space, lane);
  end loop;
  select count(*) into active from runs where client_id = client and status in ('queued', 'running');
  return active;
end
$$;
