-- Who follows a task is also told when it needs somebody on its way, not only of its end.

alter table a2a_push_configs
  -- The standing of the task that was told last, or given up to be told.
  add column told text,
  -- The one that the attempts are about.
  add column telling text;
