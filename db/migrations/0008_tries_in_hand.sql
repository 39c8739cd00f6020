-- Guesses whose outcome is not known yet: they take up tries without being failures. After that moment a process that died has none in hand any more.
alter table attempt_counters add column pending integer not null default 0;
alter table attempt_counters add column pending_until timestamptz;
