import { sql } from 'drizzle-orm'
import type { Clock } from '~/platform/clock'
import type { Database } from '~/platform/db'
import type { Log } from '~/platform/log'
import type { RedisStore } from '~/platform/redis'
import { createStreamWorker, type Refusal, type StreamWorker } from '~/platform/stream-worker'

export interface AuditWorkerSettings {
  database: Database
  redis: RedisStore
  log: Log
  /** Entries of one insert. */
  batchSize?: number
  /** See the stream worker. */
  claimAfterMs?: number
  clock?: Clock
}

/** Writes audit entries in batches as they come: one insert takes what has gathered during the one before. */
export function createAuditWorker({ database, redis, log, batchSize = 500, ...timing }: AuditWorkerSettings): StreamWorker {
  return createStreamWorker({
    redis,
    database,
    log,
    kind: 'audit',
    batchSize,
    concurrency: 1,
    ...timing,
    handle: (ids) => writeEntries(database, ids),
  })
}

/**
 * One statement, hence one transaction: what is not done yet is written and called done. Rows are locked in the order of their ids, so that
 * two workers with the same rows wait for each other instead of dead-locking. A user or client that was deleted meanwhile becomes null.
 */
async function writeEntries(database: Database, ids: string[]): Promise<Refusal[]> {
  const written = await database.db.execute(sql`
    with due as (
      select id, payload from outbox
      where id = any(${sql.param(ids)}::uuid[]) and kind = 'audit' and done_at is null
      order by id
      for update
    ), written as (
      insert into audit_logs
        (id, outbox_id, client_id, user_id, actor_user_id, action, resource_type, resource_id, details, ip_address, user_agent, trace_id, created_at)
      select due.id, due.id, clients.id, users.id, (payload->>'actor_user_id')::uuid,
        payload->>'action', payload->>'resource_type', payload->>'resource_id',
        nullif(payload->'details', 'null'), payload->>'ip_address', payload->>'user_agent', payload->>'trace_id',
        (payload->>'created_at')::timestamptz
      from due
      left join clients on clients.id = (payload->>'client_id')::uuid
      left join users on users.id = (payload->>'user_id')::uuid
      on conflict (outbox_id) do nothing
    )
    update outbox set done_at = now() from due where outbox.id = due.id`)
  return written.count === ids.length ? [] : listUnknown(database, ids)
}

/** Ids of no audit row: forged, or of a row that was pruned since. */
async function listUnknown(database: Database, ids: string[]): Promise<Refusal[]> {
  const rows = await database.db.execute(sql`select id from outbox where id = any(${sql.param(ids)}::uuid[]) and kind = 'audit'`)
  const known = new Set(rows.map(({ id }) => id))
  return ids.filter((id) => !known.has(id)).map((id) => ({ id, reason: 'no such entry was written' }))
}
