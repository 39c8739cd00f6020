-- What became of mails, told by their provider; and the webhooks of tenants.

alter table deliveries drop constraint deliveries_state_check;
alter table deliveries add constraint deliveries_state_check check (
  state in ('queued', 'sending', 'held', 'failed', 'sent', 'processed', 'deferred', 'delivered', 'opened', 'dropped', 'bounced', 'spam')
);
-- What was asked for: ids alone, kept so that the mail can be sent again.
alter table deliveries add column request jsonb;
alter table deliveries add column last_event_at timestamptz;
create index deliveries_recipient_idx on deliveries (recipient, created_at desc);
create index deliveries_state_idx on deliveries (state, created_at desc, id desc);

create table email_events (
  id uuid primary key,
  -- SendGrid's own id: a repeated event is the same.
  sg_event_id text not null unique,
  -- Null for a mail that is none of ours, or of which nobody knows any more.
  delivery_id uuid references deliveries (id) on delete set null,
  event text not null,
  details jsonb not null,
  occurred_at timestamptz not null,
  received_at timestamptz not null default now()
);
create index email_events_delivery_idx on email_events (delivery_id, occurred_at);

-- Addresses that are not written to any more, in lower case.
create table email_suppressions (
  email text primary key,
  reason text not null check (reason in ('bounced', 'spam')),
  created_at timestamptz not null default now()
);

alter table outbox drop constraint outbox_kind_check;
alter table outbox add constraint outbox_kind_check check (kind in ('email', 'audit', 'webhook'));

create table webhooks (
  id uuid primary key,
  client_id uuid not null references clients (id) on delete cascade,
  url text not null,
  events text[] not null,
  description text,
  sealed_secret text not null,
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz,
  unique (client_id, id)
);

-- One row an event and webhook; it has the id of its outbox row, which is the webhook-id that the receiver sees.
create table webhook_deliveries (
  id uuid primary key,
  client_id uuid not null,
  webhook_id uuid not null,
  event text not null,
  payload jsonb not null,
  state text not null check (state in ('queued', 'sending', 'sent', 'failed')),
  attempts integer not null default 0,
  next_attempt_at timestamptz,
  lease_token bigint not null default 0,
  lease_until timestamptz,
  last_status integer,
  last_error text,
  created_at timestamptz not null default now(),
  updated_at timestamptz,
  sent_at timestamptz,
  foreign key (client_id, webhook_id) references webhooks (client_id, id) on delete cascade
);
create index webhook_deliveries_list_idx on webhook_deliveries (client_id, webhook_id, created_at desc, id desc);
create index webhook_deliveries_due_idx on webhook_deliveries (next_attempt_at) where state in ('queued', 'sending');
