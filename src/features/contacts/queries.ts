import { and, asc, count, eq, sql } from 'drizzle-orm'
import type { Reach } from '~/platform/access'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { behind, momentOf } from '~/platform/keyset'
import type { Contact } from './schema'
import { contacts } from './table'

const view = { id: contacts.id, client_id: contacts.clientId, ext_id: contacts.extId, name: contacts.name, meta: contacts.meta }

const within = ({ clientId }: Reach, id: string) =>
  and(eq(contacts.id, id), clientId === null ? undefined : eq(contacts.clientId, clientId))

export async function findContact(db: Db, reach: Reach, id: string): Promise<Contact | undefined> {
  const [contact] = await db.select(view).from(contacts).where(within(reach, id))
  return contact
}

/** Oldest first. */
export const listContacts = (db: Db, clientId: string, { skip, limit, after }: Page) =>
  db
    .select({ ...view, at: momentOf(contacts.createdAt) })
    .from(contacts)
    .where(and(eq(contacts.clientId, clientId), behind(after, { by: contacts.createdAt, id: contacts.id })))
    .orderBy(asc(contacts.createdAt), asc(contacts.id))
    .offset(skip)
    .limit(limit)

export async function countContacts(db: Db, clientId: string): Promise<number> {
  const [row] = await db.select({ total: count() }).from(contacts).where(eq(contacts.clientId, clientId))
  return row?.total ?? 0
}

/** Undefined when the client has a contact of that external id already. */
export async function insertContact(db: Db, contact: typeof contacts.$inferInsert): Promise<Contact | undefined> {
  const [inserted] = await db.insert(contacts).values(contact).onConflictDoNothing().returning(view)
  return inserted
}

export async function updateContact(
  db: Db,
  id: string,
  change: Pick<typeof contacts.$inferInsert, 'extId' | 'name' | 'meta'>,
): Promise<Contact | undefined> {
  const [updated] = await db
    .update(contacts)
    .set({ ...change, updatedAt: sql`now()` })
    .where(eq(contacts.id, id))
    .returning(view)
  return updated
}

/** Its sessions stay, without a contact. */
export async function deleteContact(db: Db, reach: Reach, id: string): Promise<{ clientId: string } | undefined> {
  const [deleted] = await db.delete(contacts).where(within(reach, id)).returning({ clientId: contacts.clientId })
  return deleted
}
