import { asc, count, eq, inArray, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { behind, momentOf } from '~/platform/keyset'
import type { Tool } from './schema'
import { tools } from './table'

const view = {
  id: tools.id,
  name: tools.name,
  description: tools.description,
  config_json: tools.configJson,
  environments: tools.environments,
  created_at: tools.createdAt,
  updated_at: tools.updatedAt,
}

type Fields = Omit<typeof tools.$inferInsert, 'id' | 'createdAt' | 'updatedAt'>

export async function findTool(db: Db, id: string): Promise<Tool | undefined> {
  const [tool] = await db.select(view).from(tools).where(eq(tools.id, id))
  return tool
}

export const findTools = (db: Db, ids: string[]): Promise<Tool[]> => db.select(view).from(tools).where(inArray(tools.id, ids))

/** Oldest first. */
export const listTools = (db: Db, { skip, limit, after }: Page) =>
  db
    .select({ ...view, at: momentOf(tools.createdAt) })
    .from(tools)
    .where(behind(after, { by: tools.createdAt, id: tools.id }))
    .orderBy(asc(tools.createdAt), asc(tools.id))
    .offset(skip)
    .limit(limit)

export async function countTools(db: Db): Promise<number> {
  const [row] = await db.select({ total: count() }).from(tools)
  return row?.total ?? 0
}

export async function insertTool(db: Db, fields: Fields & { id: string }): Promise<Tool> {
  const [inserted] = await db.insert(tools).values(fields).returning(view)
  return inserted as Tool
}

export async function updateTool(db: Db, id: string, fields: Fields): Promise<Tool | undefined> {
  const [updated] = await db
    .update(tools)
    .set({ ...fields, updatedAt: sql`now()` })
    .where(eq(tools.id, id))
    .returning(view)
  return updated
}

export async function deleteTool(db: Db, id: string): Promise<{ name: string } | undefined> {
  const [deleted] = await db.delete(tools).where(eq(tools.id, id)).returning({ name: tools.name })
  return deleted
}
