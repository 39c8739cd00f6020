import { and, asc, count, eq, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { behind, momentOf } from '~/platform/keyset'
import type { Folder, FolderChange } from './schema'
import { folders } from './table'

const view = {
  id: folders.id,
  client_id: folders.clientId,
  name: folders.name,
  description: folders.description,
  created_at: folders.createdAt,
  updated_at: folders.updatedAt,
}

const one = (clientId: string, id: string) => and(eq(folders.clientId, clientId), eq(folders.id, id))

export async function findFolder(db: Db, clientId: string, id: string): Promise<Folder | undefined> {
  const [folder] = await db.select(view).from(folders).where(one(clientId, id))
  return folder
}

/** Oldest first. */
export const listFolders = (db: Db, clientId: string, { skip, limit, after }: Page) =>
  db
    .select({ ...view, at: momentOf(folders.createdAt) })
    .from(folders)
    .where(and(eq(folders.clientId, clientId), behind(after, { by: folders.createdAt, id: folders.id })))
    .orderBy(asc(folders.createdAt), asc(folders.id))
    .offset(skip)
    .limit(limit)

export async function countFolders(db: Db, clientId: string): Promise<number> {
  const [row] = await db.select({ total: count() }).from(folders).where(eq(folders.clientId, clientId))
  return row?.total ?? 0
}

export async function insertFolder(db: Db, folder: typeof folders.$inferInsert): Promise<Folder> {
  const [inserted] = await db.insert(folders).values(folder).returning(view)
  return inserted as Folder
}

export async function updateFolder(db: Db, clientId: string, id: string, { name, description }: FolderChange): Promise<Folder | undefined> {
  const [updated] = await db
    .update(folders)
    .set({ name, ...(description == null ? {} : { description }), updatedAt: sql`now()` })
    .where(one(clientId, id))
    .returning(view)
  return updated
}

/** Its agents stay, in no folder. */
export async function deleteFolder(db: Db, clientId: string, id: string): Promise<{ name: string } | undefined> {
  const [deleted] = await db.delete(folders).where(one(clientId, id)).returning({ name: folders.name })
  return deleted
}
