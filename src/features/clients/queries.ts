import { and, asc, count, eq, sql } from 'drizzle-orm'
import type { Reach } from '~/platform/access'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { behind, momentOf } from '~/platform/keyset'
import type { Client, ClientChange, ClientSecurity } from './schema'
import { clients } from './table'

const view = { id: clients.id, name: clients.name, email: clients.email, created_at: clients.createdAt }

const within = ({ clientId }: Reach) => (clientId === null ? undefined : eq(clients.id, clientId))

export async function findClient(db: Db, id: string): Promise<Client | undefined> {
  const [client] = await db.select(view).from(clients).where(eq(clients.id, id))
  return client
}

/** Oldest first. */
export const listClients = (db: Db, reach: Reach, { skip, limit, after }: Page) =>
  db
    .select({ ...view, at: momentOf(clients.createdAt) })
    .from(clients)
    .where(and(within(reach), behind(after, { by: clients.createdAt, id: clients.id })))
    .orderBy(asc(clients.createdAt), asc(clients.id))
    .offset(skip)
    .limit(limit)

export async function countClients(db: Db, reach: Reach): Promise<number> {
  const [row] = await db.select({ total: count() }).from(clients).where(within(reach))
  return row?.total ?? 0
}

export async function updateClient(db: Db, id: string, { name, email }: ClientChange): Promise<Client | undefined> {
  const [updated] = await db
    .update(clients)
    .set({
      name,
      email: email.toLowerCase(),
      emailIsShared: sql`${clients.emailIsShared} and lower(${clients.email}) = ${email.toLowerCase()}`,
      updatedAt: sql`now()`,
    })
    .where(eq(clients.id, id))
    .returning(view)
  return updated
}

const security = { require_second_factor: clients.requireSecondFactor }

export async function findClientSecurity(db: Db, id: string): Promise<ClientSecurity | undefined> {
  const [found] = await db.select(security).from(clients).where(eq(clients.id, id))
  return found
}

export async function updateClientSecurity(
  db: Db,
  id: string,
  { require_second_factor: requireSecondFactor }: ClientSecurity,
): Promise<ClientSecurity | undefined> {
  const [updated] = await db
    .update(clients)
    .set({ requireSecondFactor, updatedAt: sql`now()` })
    .where(eq(clients.id, id))
    .returning(security)
  return updated
}

/** With everything that belongs to it. */
export async function deleteClient(db: Db, id: string): Promise<Client | undefined> {
  const [deleted] = await db.delete(clients).where(eq(clients.id, id)).returning(view)
  return deleted
}
