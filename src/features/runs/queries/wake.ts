import { and, eq, isNull, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import { runs } from '../table'

/**
 * Lets a run that waits be taken up again: whoever looks for unattended runs takes it. One that is only about to wait, in this moment, will not.
 */
export const wake = (db: Db, id: string) =>
  db
    .update(runs)
    .set({ status: sql`case ${runs.status} when 'needs_reconcile' then 'waiting' else ${runs.status} end`, wakeAt: sql`now()` })
    .where(and(eq(runs.id, id), isNull(runs.finishedAt)))
    .returning({ id: runs.id })

/** The same for one that waits to hear what became of a step, once: of two who say so at the same time, one is too late. */
export async function wakeReconciled(db: Db, id: string): Promise<boolean> {
  const rows = await db
    .update(runs)
    .set({ status: 'waiting', wakeAt: sql`now()` })
    .where(and(eq(runs.id, id), eq(runs.status, 'needs_reconcile')))
    .returning({ id: runs.id })
  return rows.length > 0
}

/** The same for all runs of a client that lack money, or may find out in this moment that they do. */
export const wakeUnpaid = (db: Db, clientId: string) =>
  db
    .update(runs)
    .set({ wakeAt: sql`now()` })
    .where(
      and(
        eq(runs.clientId, clientId),
        sql`(${runs.status} = 'running' or (${runs.status} = 'waiting' and ${runs.waitingFor}->>'reason' = 'budget-exhausted'))`,
      ),
    )
