-- Of lists that were sorted anew for each page: a client's approvals, and the impersonations among all sign-ins.

create index approvals_newest_idx on approvals (client_id, created_at desc, id);

create index auth_sessions_impersonations_idx on auth_sessions (created_at desc, id desc) where actor_user_id is not null;

-- The platform admins were looked for among all users whenever one of them is deleted or demoted.
create index users_admin_idx on users (created_at, id) where is_admin;
