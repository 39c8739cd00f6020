import { and, asc, count, eq, inArray, sql } from 'drizzle-orm'
import { mcpServers } from '~/features/mcp-servers/table'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import type { CatalogueServer, McpOwner, OfferedTool } from '~/runtime/mcp/types'
import { mcpTools } from './table'

const ofAgent = ({ clientId, agentId }: McpOwner) => and(eq(mcpTools.clientId, clientId), eq(mcpTools.agentId, agentId))

const view = {
  server_key: mcpTools.serverKey,
  server: mcpTools.serverName,
  name: mcpTools.name,
  accepted_hash: mcpTools.acceptedHash,
  accepted: mcpTools.accepted,
  accepted_at: mcpTools.acceptedAt,
  offered_hash: mcpTools.offeredHash,
  offered: mcpTools.offered,
  offered_at: mcpTools.offeredAt,
}

export type ToolRow = Awaited<ReturnType<typeof listTools>>[number]

export const listTools = (db: Db, owner: McpOwner, { skip, limit }: Page) =>
  db.select(view).from(mcpTools).where(ofAgent(owner)).orderBy(asc(mcpTools.serverKey), asc(mcpTools.name)).offset(skip).limit(limit)

export async function countTools(db: Db, owner: McpOwner): Promise<number> {
  const [row] = await db.select({ total: count() }).from(mcpTools).where(ofAgent(owner))
  return row?.total ?? 0
}

/** Without the definitions: for comparing. */
export const listPins = (db: Db, owner: McpOwner) =>
  db
    .select({ serverKey: mcpTools.serverKey, name: mcpTools.name, acceptedHash: mcpTools.acceptedHash, offeredHash: mcpTools.offeredHash })
    .from(mcpTools)
    .where(ofAgent(owner))

interface OfferedBy {
  serverKey: string
  serverName: string
  tools: OfferedTool[]
}

/** How many of them nobody had seen yet. */
export async function insertAccepted(db: Db, owner: McpOwner, { serverKey, serverName, tools }: OfferedBy): Promise<number> {
  const rows = await db
    .insert(mcpTools)
    .values(
      tools.map(({ name, hash, definition }) => ({
        ...owner,
        serverKey,
        serverName,
        name,
        acceptedHash: hash,
        accepted: definition,
        acceptedAt: sql`now()`,
      })),
    )
    .onConflictDoNothing()
    .returning({ name: mcpTools.name })
  return rows.length
}

/** Keeps what is offered beside what is accepted. */
export const upsertOffered = (db: Db, owner: McpOwner, { serverKey, serverName, tools }: OfferedBy) =>
  db
    .insert(mcpTools)
    .values(
      tools.map(({ name, hash, definition }) => ({
        ...owner,
        serverKey,
        serverName,
        name,
        offeredHash: hash,
        offered: definition,
        offeredAt: sql`now()`,
      })),
    )
    .onConflictDoUpdate({
      target: [mcpTools.clientId, mcpTools.agentId, mcpTools.serverKey, mcpTools.name],
      set: { offeredHash: sql`excluded.offered_hash`, offered: sql`excluded.offered`, offeredAt: sql`now()` },
    })

/** The server has gone back to what was accepted. */
export const clearOffered = (db: Db, owner: McpOwner, serverKey: string, names: string[]) =>
  db
    .update(mcpTools)
    .set({ offeredHash: null, offered: null, offeredAt: null })
    .where(and(ofAgent(owner), eq(mcpTools.serverKey, serverKey), inArray(mcpTools.name, names)))

/** False if that definition is not the one that waits. */
export async function acceptOffered(
  db: Db,
  owner: McpOwner,
  { serverKey, name, hash }: { serverKey: string; name: string; hash: string },
): Promise<boolean> {
  const rows = await db
    .update(mcpTools)
    .set({
      acceptedHash: mcpTools.offeredHash,
      accepted: mcpTools.offered,
      acceptedAt: sql`now()`,
      offeredHash: null,
      offered: null,
      offeredAt: null,
    })
    .where(and(ofAgent(owner), eq(mcpTools.serverKey, serverKey), eq(mcpTools.name, name), eq(mcpTools.offeredHash, hash)))
    .returning({ name: mcpTools.name })
  return rows.length > 0
}

export async function findCatalogueServers(db: Db, ids: string[]): Promise<CatalogueServer[]> {
  const rows = await db
    .select({
      id: mcpServers.id,
      name: mcpServers.name,
      configJson: mcpServers.configJson,
      tools: mcpServers.tools,
      trusted: mcpServers.trusted,
    })
    .from(mcpServers)
    .where(inArray(mcpServers.id, ids))
  // The column holds what the catalogue's schema let pass.
  return rows.map((row) => ({ ...row, tools: row.tools as CatalogueServer['tools'] }))
}
