-- Whether a session is busy, whose turn it is and how many runs a client has under way is asked at each chat. That is about the runs that have not ended,
-- of which there are few however many have; no index told them from the rest, so each chat read through the runs of everybody.

create index runs_open_idx on runs (client_id, session_id) where status in ('queued', 'running', 'waiting', 'needs_reconcile');

-- The list of all clients' runs, which admins read, was sorted anew for each page.
create index runs_list_idx on runs (created_at, id);
