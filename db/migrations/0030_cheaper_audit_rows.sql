-- What a row of the audit log costs is mostly its indexes.
-- Ascending, as rows come: pages are left full, and not half empty as where each new row goes before all others. Lists read them backwards.
drop index audit_logs_list_idx;
create index audit_logs_list_idx on audit_logs (created_at, id);
drop index audit_logs_client_idx;
create index audit_logs_client_idx on audit_logs (client_id, created_at, id);
drop index audit_logs_user_idx;
create index audit_logs_user_idx on audit_logs (user_id, created_at, id) where user_id is not null;
drop index audit_logs_actor_idx;
create index audit_logs_actor_idx on audit_logs (actor_user_id, created_at, id) where actor_user_id is not null;
-- The id of a thing is of one type anyway, so the type only made the index larger.
drop index audit_logs_resource_idx;
create index audit_logs_resource_idx on audit_logs (resource_id, created_at) where resource_id is not null;
