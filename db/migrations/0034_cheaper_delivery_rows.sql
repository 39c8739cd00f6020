-- What a row of deliveries costs is mostly its indexes. Ascending, as rows come: lists read them backwards (as 0030 has it for the audit log).
drop index deliveries_list_idx;
create index deliveries_list_idx on deliveries (created_at, id);
drop index deliveries_client_idx;
create index deliveries_client_idx on deliveries (client_id, created_at, id);
drop index deliveries_recipient_idx;
create index deliveries_recipient_idx on deliveries (recipient, created_at, id);
drop index deliveries_state_idx;
create index deliveries_state_idx on deliveries (state, created_at, id);
