import { sql } from 'drizzle-orm'
import type { Database, Db } from '../db'
import { redactText } from '../log'
import { deadLetters, type OutboxKind, outbox } from './table'

export interface DeadLetter {
  kind: OutboxKind
  /** The row that the entry names, if it names one. */
  outboxId: string | null
  /** What stood in the stream, as far as it can be kept. */
  entry: Record<string, unknown>
  reason: string
}

const MAX_KEPT = 2000

/**
 * Sets an entry aside for an operator and ends its outbox row, so that the sweeper does not bring it back.
 * Only a row of the same kind is ended: an entry in one stream says nothing about another's work.
 */
export const buryLetter = (database: Database, letter: DeadLetter) => database.transaction((tx) => insertDeadLetter(tx, letter))

/** The same inside the caller's transaction. */
export async function insertDeadLetter(tx: Db, { kind, outboxId, entry, reason }: DeadLetter) {
  await tx
    .insert(deadLetters)
    .values({ id: Bun.randomUUIDv7(), queue: kind, outboxId, entry: storable(entry), reason: storableText(redactText(reason)) })
  if (outboxId === null) return
  await tx
    .update(outbox)
    .set({ doneAt: sql`now()` })
    .where(sql`${outbox.id} = ${outboxId} and ${outbox.kind} = ${kind} and ${outbox.doneAt} is null`)
}

const storable = (entry: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(entry).map(([key, value]) => [storableText(key), typeof value === 'string' ? storableText(value) : value]),
  )

/** PostgreSQL takes neither NUL nor lone surrogates in JSON (R29), and a megabyte helps nobody. */
const storableText = (text: string) => text.slice(0, MAX_KEPT).replaceAll('\0', '').toWellFormed()
