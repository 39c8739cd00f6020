-- Signing in: imported password hashes, failed attempts, the change of an address, second factors.

-- Hashed by another system, which may have cut the password at 72 bytes. False from the first sign-in on.
alter table users add column password_is_imported boolean not null default false;
alter table clients add column require_second_factor boolean not null default false;

-- What was tried or sent how often within a window, by somebody or something whose name is only kept as an HMAC.
create table attempt_counters (
  subject bytea not null,
  -- Where from: `10.1.2.0/24`, `20010db800000000::/64`; `*` for everywhere.
  network text not null,
  count integer not null,
  expires_at timestamptz not null,
  -- The last success from there: one of the owner's own networks.
  succeeded_at timestamptz,
  primary key (subject, network)
);
create index attempt_counters_expires_idx on attempt_counters (expires_at);

alter table one_time_tokens drop constraint one_time_tokens_purpose_check;
alter table one_time_tokens add constraint one_time_tokens_purpose_check
  check (purpose in ('verify-email', 'reset-password', 'change-email', 'second-factor'));
-- Of a change of address: where the link goes, and who is told about it.
alter table one_time_tokens add column new_email text check (length(new_email) between 3 and 254);
alter table one_time_tokens add column former_email text check (length(former_email) between 3 and 254);

-- TOTP. The secret is sealed under the platform's key.
create table second_factors (
  user_id uuid primary key references users (id) on delete cascade,
  sealed_secret text not null,
  -- The time step of the last code: none counts twice.
  last_step bigint not null default 0,
  confirmed_at timestamptz,
  created_at timestamptz not null default now()
);
create table recovery_codes (
  user_id uuid not null references users (id) on delete cascade,
  code_hash bytea not null,
  used_at timestamptz,
  primary key (user_id, code_hash)
);
