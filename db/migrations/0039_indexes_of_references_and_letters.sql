-- Who names an agent is asked when it is deleted, and was found by reading all agents of its client.
create index agents_targets_idx on agents using gin (agent_targets(type, config)) with (fastupdate = off);

-- Asked for, by each sweep of the outbox too, are the letters that nobody has replayed; those that were replayed stay and only grow.
drop index dead_letters_list_idx;
create index dead_letters_open_idx on dead_letters (queue, created_at, id) where replayed_at is null;
