-- A sweep of one kind does not walk through what is unfinished of the others: a reset mail is found at once behind a hundred thousand that can wait.

drop index outbox_unfinished_idx;
create index outbox_unfinished_idx on outbox (kind, created_at) where done_at is null;
