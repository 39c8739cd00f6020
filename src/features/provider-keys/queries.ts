import { and, asc, count, desc, eq, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { behind, momentOf } from '~/platform/keyset'
import type { ProviderKey } from './schema'
import { providerKeys } from './table'

/** What leaves this file: the ciphertext is asked for by name. */
const view = {
  id: providerKeys.id,
  client_id: providerKeys.clientId,
  name: providerKeys.name,
  provider: providerKeys.provider,
  last_four: providerKeys.lastFour,
  is_active: providerKeys.isActive,
  created_at: providerKeys.createdAt,
  updated_at: providerKeys.updatedAt,
}

export const SORT_COLUMNS = { name: providerKeys.name, provider: providerKeys.provider, created_at: providerKeys.createdAt }
export type SortBy = keyof typeof SORT_COLUMNS

const one = (clientId: string, id: string) => and(eq(providerKeys.clientId, clientId), eq(providerKeys.id, id))
const active = (clientId: string) => and(eq(providerKeys.clientId, clientId), eq(providerKeys.isActive, true))

export async function findProviderKey(db: Db, clientId: string, id: string): Promise<ProviderKey | undefined> {
  const [key] = await db.select(view).from(providerKeys).where(one(clientId, id))
  return key
}

export const listProviderKeys = (
  db: Db,
  clientId: string,
  { skip, limit, after, sortBy, descending }: Page & { sortBy: SortBy; descending: boolean },
) => {
  const order = descending ? desc : asc
  const by = SORT_COLUMNS[sortBy]
  return db
    .select({ ...view, at: sortBy === 'created_at' ? momentOf(by) : sql<string>`${by}` })
    .from(providerKeys)
    .where(and(active(clientId), behind(after, { by, id: providerKeys.id, descending })))
    .orderBy(order(by), order(providerKeys.id))
    .offset(skip)
    .limit(limit)
}

export async function countProviderKeys(db: Db, clientId: string): Promise<number> {
  const [row] = await db.select({ total: count() }).from(providerKeys).where(active(clientId))
  return row?.total ?? 0
}

export async function insertProviderKey(db: Db, key: typeof providerKeys.$inferInsert): Promise<ProviderKey> {
  const [inserted] = await db.insert(providerKeys).values(key).returning(view)
  return inserted as ProviderKey
}

export async function updateProviderKey(
  db: Db,
  clientId: string,
  id: string,
  change: Partial<typeof providerKeys.$inferInsert>,
): Promise<ProviderKey | undefined> {
  const [updated] = await db
    .update(providerKeys)
    .set({ ...change, updatedAt: sql`now()` })
    .where(one(clientId, id))
    .returning(view)
  return updated
}

export async function findSealedKey(
  db: Db,
  clientId: string,
  id: string,
): Promise<{ encryptedKey: string; isActive: boolean; provider: string } | undefined> {
  const [row] = await db
    .select({ encryptedKey: providerKeys.encryptedKey, isActive: providerKeys.isActive, provider: providerKeys.provider })
    .from(providerKeys)
    .where(one(clientId, id))
  return row
}
