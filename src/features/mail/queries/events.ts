import { sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import type { MailEvent } from '../events'
import { DELIVERY_STATES, type DeliveryState } from '../table'

/** Keeps those that are new, and says which: a repeated event is the same row. */
export async function insertEvents(tx: Db, events: MailEvent[]): Promise<Set<string>> {
  const rows = await tx.execute<{ sg_event_id: string }>(sql`
    insert into email_events (id, sg_event_id, delivery_id, event, details, occurred_at)
    select gen_random_uuid(), event.sg_event_id, deliveries.id, event.event, event.details, event.occurred_at
    from jsonb_to_recordset(${JSON.stringify(events)}::jsonb)
      as event (sg_event_id text, delivery_id uuid, event text, details jsonb, occurred_at timestamptz)
    left join deliveries on deliveries.id = event.delivery_id
    on conflict (sg_event_id) do nothing
    returning sg_event_id`)
  return new Set(rows.map(({ sg_event_id }) => sg_event_id))
}

export interface Move {
  delivery_id: string
  state: DeliveryState
  occurred_at: string
  message_id: string | null
  reason: string | null
}

const rank = (expression: string) => sql`array_position(${sql.param([...DELIVERY_STATES])}::text[], ${sql.raw(expression)})`

/**
 * Moves deliveries on, never back, so that events may come in any order. One whose outcome was unknown is settled by it: it is not sent again.
 * Returns how many moved.
 */
export async function moveDeliveries(tx: Db, moves: Move[]): Promise<number> {
  // A worker decides under this lock whether to send again: it has decided before us, or finds the row done.
  await tx.execute(sql`
    select from outbox where id in (select outbox_id from deliveries where id = any(${sql.param(moves.map((move) => move.delivery_id))}::uuid[]))
    order by id for update`)
  const moved = await tx.execute<{ outbox_id: string }>(sql`
    update deliveries set
      state = move.state,
      provider_message_id = coalesce(provider_message_id, move.message_id),
      last_error = coalesce(move.reason, case when move.state in ('dropped', 'bounced', 'spam', 'deferred') then last_error end),
      sent_at = coalesce(sent_at, move.occurred_at),
      last_event_at = greatest(last_event_at, move.occurred_at),
      next_attempt_at = null,
      lease_until = null,
      updated_at = clock_timestamp()
    from jsonb_to_recordset(${JSON.stringify(moves)}::jsonb)
      as move (delivery_id uuid, state text, occurred_at timestamptz, message_id text, reason text)
    where deliveries.id = move.delivery_id and ${rank('move.state')} > ${rank('deliveries.state')}
    returning deliveries.outbox_id`)
  if (moved.length > 0)
    await tx.execute(sql`
      update outbox set done_at = clock_timestamp()
      where id = any(${sql.param(moved.map(({ outbox_id }) => outbox_id))}::uuid[]) and kind in ('email', 'email-bulk') and done_at is null`)
  return moved.length
}

/** Once suppressed an address stays so for its first reason, until an admin lifts it. */
export async function insertSuppressions(tx: Db, suppressions: { email: string; reason: string }[]): Promise<string[]> {
  const rows = await tx.execute<{ email: string }>(sql`
    insert into email_suppressions (email, reason)
    select email, reason from jsonb_to_recordset(${JSON.stringify(suppressions)}::jsonb) as suppression (email text, reason text)
    on conflict do nothing
    returning email`)
  return rows.map(({ email }) => email)
}
