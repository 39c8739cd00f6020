import { and, eq, inArray, or, type SQL, sql } from 'drizzle-orm'
import { auditLogs } from '~/features/audit/table'
import { contacts } from '~/features/contacts/table'
import { runs } from '~/features/runs/table'
import { sessions } from '~/features/sessions/table'
import type { Reach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { outbox } from '~/platform/outbox/table'
import type { ErasureReceipt } from './schema'
import { contactErasures } from './table'

export interface Erased {
  id: string
  clientId: string
  extId: string | null
}

export async function findReceipt(db: Db, { clientId }: Reach, contactId: string): Promise<ErasureReceipt | undefined> {
  const [row] = await db
    .select({ receipt: contactErasures.receipt })
    .from(contactErasures)
    .where(and(eq(contactErasures.contactId, contactId), clientId === null ? undefined : eq(contactErasures.clientId, clientId)))
  // jsonb written by ourselves in this shape.
  return row?.receipt as ErasureReceipt | undefined
}

export const insertReceipt = (db: Db, receipt: ErasureReceipt) =>
  db.insert(contactErasures).values({ contactId: receipt.contact_id, clientId: receipt.client_id, receipt })

/** Until the transaction ends nobody else erases or changes it. */
export async function lockContact(db: Db, { clientId }: Reach, id: string): Promise<Erased | undefined> {
  const [contact] = await db
    .select({ id: contacts.id, clientId: contacts.clientId, extId: contacts.extId })
    .from(contacts)
    .where(and(eq(contacts.id, id), clientId === null ? undefined : eq(contacts.clientId, clientId)))
    .for('update')
  return contact
}

const ofContact = ({ id, clientId, extId }: Erased) =>
  and(eq(sessions.clientId, clientId), or(eq(sessions.contactId, id), extId === null ? undefined : eq(sessions.externalId, extId)))

/** Locked until the transaction ends: meanwhile they begin no turn. */
export async function lockSessions(db: Db, contact: Erased): Promise<string[]> {
  const rows = await db.select({ id: sessions.id }).from(sessions).where(ofContact(contact)).orderBy(sessions.id).for('update')
  return rows.map(({ id }) => id)
}

/** The same as `listRunsOf` as it is now, without a lock. Unknown contacts have none. */
export const findRuns = (db: Db, { clientId }: Reach, contactId: string) =>
  db
    .select({ id: runs.id, isOver: sql<boolean>`${runs.finishedAt} is not null` })
    .from(contacts)
    .innerJoin(
      sessions,
      and(eq(sessions.clientId, contacts.clientId), or(eq(sessions.contactId, contacts.id), eq(sessions.externalId, contacts.extId))),
    )
    .innerJoin(runs, and(eq(runs.clientId, sessions.clientId), eq(runs.sessionId, sessions.id)))
    .where(and(eq(contacts.id, contactId), clientId === null ? undefined : eq(contacts.clientId, clientId)))

export const listRunsOf = (db: Db, clientId: string, sessionIds: string[]) =>
  db
    .select({ id: runs.id, isOver: sql<boolean>`${runs.finishedAt} is not null` })
    .from(runs)
    .where(and(eq(runs.clientId, clientId), inArray(runs.sessionId, sessionIds)))

/** All that hangs on these sessions, counted by its place and gone. */
export async function removeSessions(db: Db, clientId: string, sessionIds: string[]) {
  const ids = sql.param(sessionIds)
  const [found] = await db.execute<Record<string, number>>(sql`
    with s as materialized (select unnest(${ids}::text[]) as id),
    r as materialized (select runs.id from runs join s on s.id = runs.session_id where runs.client_id = ${clientId})
    select (select count(*) from events where client_id = ${clientId} and session_id in (select id from s))::int as events,
      (select count(*) from r)::int as runs,
      (select count(*) from run_steps where client_id = ${clientId} and run_id in (select id from r))::int as run_steps,
      (select count(*) from run_events where client_id = ${clientId} and run_id in (select id from r))::int as run_events,
      (select count(*) from files where client_id = ${clientId} and session_id in (select id from s))::int as files,
      (select count(*) from approvals where client_id = ${clientId} and run_id in (select id from r))::int as approvals,
      (select count(*) from a2a_tasks where client_id = ${clientId} and run_id in (select id from r))::int as a2a_tasks`)
  const removed = await db.execute(sql`delete from sessions where client_id = ${clientId} and id = any(${ids}::text[])`)
  const budgets = await db.execute(
    sql`delete from budgets where client_id = ${clientId} and scope = 'session' and scope_id = any(${ids}::text[])`,
  )
  const of = (place: string) => found?.[place] ?? 0
  return {
    sessions: removed.count,
    events: of('events'),
    runs: of('runs'),
    run_steps: of('run_steps'),
    run_events: of('run_events'),
    files: of('files'),
    approvals: of('approvals'),
    a2a_tasks: of('a2a_tasks'),
    budgets: budgets.count,
  }
}

/** Each row asks a hash of the ids, however many there are. Without `is true` PostgreSQL would make it a join, and that may go through all of them for each row. */
const isOneOf = (text: SQL, ids: string[]) => sql`(${text} in (select unnest(${sql.param(ids)}::text[]))) is true`

/** JSON that holds one of these ids as a whole string. */
const mentions = (column: string, ids: string[]) => sql`exists (
  select from jsonb_path_query(${sql.raw(column)}, 'strict $.** ? (@.type() == "string")') as said where ${isOneOf(sql`said #>> '{}'`, ids)}
)`

/** What was to be told or repeated, and holds one of these ids. */
export async function removeCopies(db: Db, clientId: string, ids: string[]) {
  const deliveries = await db.execute(sql`delete from webhook_deliveries where client_id = ${clientId} and ${mentions('payload', ids)}`)
  // Keyed by the caller, of any kind: an id of ours is in no other client's answer. An approval's names its run.
  const named = sql`${isOneOf(sql`response->>'id'`, ids)} or ${isOneOf(sql`response->>'run_id'`, ids)}`
  const keys = await db.execute(sql`delete from idempotency_keys where ${named}`)
  return { webhook_deliveries: deliveries.count, idempotency_keys: keys.count }
}

/** What stays is a bill, and the fact that something was done: the chain of the audit log holds without its personal part. */
export async function emptyRecords(db: Db, clientId: string, { sessionIds, ids }: { sessionIds: string[]; ids: string[] }) {
  const isGone = isOneOf(sql`session_id`, sessionIds)
  const usage = await db.execute(sql`update usage_records set session_id = 'erased' where client_id = ${clientId} and ${isGone}`)
  await db.execute(sql`update budget_reservations set session_id = 'erased' where client_id = ${clientId} and ${isGone}`)
  // First: behind a worker that is writing these entries down, so that the next statement sees them.
  const waiting = await db.execute(sql`
    update ${outbox} set payload = payload || '{"resource_id":null,"details":null,"ip_address":null,"user_agent":null}'
    where client_id = ${clientId} and kind = 'audit' and ${mentions('payload', ids)}`)
  const logged = await db.execute(sql`
    update ${auditLogs} set resource_id = null, details = null, ip_address = null, user_agent = null, salt = null, erased_at = clock_timestamp()
    where client_id = ${clientId} and erased_at is null
      and (${isOneOf(sql`resource_id`, ids)} or ${mentions('details', ids)})`)
  return { usage_records: usage.count, audit_logs: logged.count, outbox: waiting.count }
}

export const removeContact = (db: Db, id: string) => db.delete(contacts).where(eq(contacts.id, id))
