import { and, desc, eq, isNull, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import { deadLetters, OUTBOX_KINDS, type OutboxKind, outbox } from '~/platform/outbox/table'

export interface Backlog {
  kind: OutboxKind
  unfinished: number
  oldestSeconds: number | null
  dead: number
}

/** Counting stops here: a longer backlog is as bad, and must not make asking for it slow. */
const MOST_COUNTED = 100_000

export async function listBacklogs(db: Db): Promise<Backlog[]> {
  return db.execute<Backlog & Record<string, unknown>>(sql`
    select kind,
      (select count(*)::int from (select from outbox where outbox.kind = kinds.kind and done_at is null limit ${MOST_COUNTED}) counted) as unfinished,
      (select extract(epoch from now() - min(created_at))::float8 from outbox where outbox.kind = kinds.kind and done_at is null) as "oldestSeconds",
      (select count(*)::int from dead_letters where queue = kinds.kind and replayed_at is null) as dead
    from unnest(${sql.param([...OUTBOX_KINDS])}::text[]) as kinds (kind)`)
}

const view = {
  id: deadLetters.id,
  outbox_id: deadLetters.outboxId,
  entry: deadLetters.entry,
  reason: deadLetters.reason,
  created_at: deadLetters.createdAt,
}
const open = (queue: OutboxKind) => and(eq(deadLetters.queue, queue), isNull(deadLetters.replayedAt))

export const listDead = (db: Db, queue: OutboxKind, { skip, limit }: { skip: number; limit: number }) =>
  db.select(view).from(deadLetters).where(open(queue)).orderBy(desc(deadLetters.createdAt), deadLetters.id).offset(skip).limit(limit)

export async function countDead(db: Db, queue: OutboxKind): Promise<number> {
  const [row] = await db.select({ total: sql<number>`count(*)::int` }).from(deadLetters).where(open(queue))
  return row?.total ?? 0
}

/** Locked, so that two replays of one letter wait for each other. */
export async function lockDead(tx: Db, queue: OutboxKind, id: string) {
  const [found] = await tx
    .select(view)
    .from(deadLetters)
    .where(and(open(queue), eq(deadLetters.id, id)))
    .for('update')
  return found
}

export async function markReplayed(tx: Db, id: string) {
  await tx.update(deadLetters).set({ replayedAt: sql`now()` }).where(eq(deadLetters.id, id))
}

/** Opens the row again, for the sweeper to publish. False when it is gone. */
export async function reopenRow(tx: Db, kind: OutboxKind, id: string): Promise<boolean> {
  const rows = await tx
    .update(outbox)
    .set({ doneAt: null, relayedAt: null })
    .where(and(eq(outbox.id, id), eq(outbox.kind, kind)))
    .returning({ id: outbox.id })
  return rows.length > 0
}

export async function deleteDead(tx: Db, queue: OutboxKind, id: string): Promise<boolean> {
  const rows = await tx
    .delete(deadLetters)
    .where(and(open(queue), eq(deadLetters.id, id)))
    .returning({ id: deadLetters.id })
  return rows.length > 0
}
