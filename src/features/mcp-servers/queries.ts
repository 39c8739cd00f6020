import { asc, count, eq, inArray, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { behind, momentOf } from '~/platform/keyset'
import type { CatalogueTool, McpServer } from './schema'
import { mcpServers } from './table'

const view = {
  id: mcpServers.id,
  name: mcpServers.name,
  description: mcpServers.description,
  config_type: mcpServers.configType,
  config_json: mcpServers.configJson,
  environments: mcpServers.environments,
  tools: mcpServers.tools,
  type: mcpServers.type,
  trusted: mcpServers.trusted,
  created_at: mcpServers.createdAt,
  updated_at: mcpServers.updatedAt,
}

type Row = Omit<McpServer, 'tools'> & { tools: unknown[] }
type Fields = Omit<typeof mcpServers.$inferInsert, 'id' | 'createdAt' | 'updatedAt'>

/** Rows that came over from elsewhere may lack what is shown of a tool. */
const shown = ({ tools, ...row }: Row): McpServer => ({ ...row, tools: tools.map((tool) => toolOf(Object(tool))) })

const toolOf = (tool: Partial<CatalogueTool>): CatalogueTool => {
  const name = String(tool.name ?? tool.id ?? '')
  const texts = (value: unknown) => (Array.isArray(value) ? value.map(String) : [])
  return {
    id: String(tool.id ?? name),
    name,
    description: String(tool.description ?? ''),
    tags: texts(tool.tags),
    examples: texts(tool.examples),
    inputModes: texts(tool.inputModes),
    outputModes: texts(tool.outputModes),
  }
}

export async function findMcpServer(db: Db, id: string): Promise<McpServer | undefined> {
  const [server] = await db.select(view).from(mcpServers).where(eq(mcpServers.id, id))
  return server && shown(server)
}

export async function findMcpServers(db: Db, ids: string[]): Promise<McpServer[]> {
  const rows = await db.select(view).from(mcpServers).where(inArray(mcpServers.id, ids))
  return rows.map(shown)
}

/** Oldest first. */
export async function listMcpServers(db: Db, { skip, limit, after }: Page) {
  const rows = await db
    .select({ ...view, at: momentOf(mcpServers.createdAt) })
    .from(mcpServers)
    .where(behind(after, { by: mcpServers.createdAt, id: mcpServers.id }))
    .orderBy(asc(mcpServers.createdAt), asc(mcpServers.id))
    .offset(skip)
    .limit(limit)
  return rows.map(({ at, ...row }) => ({ ...shown(row), at }))
}

export async function countMcpServers(db: Db): Promise<number> {
  const [row] = await db.select({ total: count() }).from(mcpServers)
  return row?.total ?? 0
}

export async function insertMcpServer(db: Db, fields: Fields & { id: string }): Promise<McpServer> {
  const [inserted] = await db.insert(mcpServers).values(fields).returning(view)
  return shown(inserted as Row)
}

export async function updateMcpServer(db: Db, id: string, fields: Fields): Promise<McpServer | undefined> {
  const [updated] = await db
    .update(mcpServers)
    .set({ ...fields, updatedAt: sql`now()` })
    .where(eq(mcpServers.id, id))
    .returning(view)
  return updated && shown(updated)
}

export async function deleteMcpServer(db: Db, id: string): Promise<{ name: string } | undefined> {
  const [deleted] = await db.delete(mcpServers).where(eq(mcpServers.id, id)).returning({ name: mcpServers.name })
  return deleted
}
