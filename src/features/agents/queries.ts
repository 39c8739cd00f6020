import { and, asc, count, desc, eq, sql } from 'drizzle-orm'
import type { Reach } from '~/platform/access'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { agents } from './table'

/** The row as the service needs it; `encryptedKey` is opened for the owner and never leaves as it is. */
const view = {
  id: agents.id,
  client_id: agents.clientId,
  folder_id: agents.folderId,
  name: agents.name,
  description: agents.description,
  role: agents.role,
  goal: agents.goal,
  type: agents.type,
  model: agents.model,
  api_key_id: agents.apiKeyId,
  instruction: agents.instruction,
  agent_card_url: agents.agentCardUrl,
  config: agents.config,
  created_at: agents.createdAt,
  updated_at: agents.updatedAt,
  encryptedKey: agents.encryptedKey,
}

export type AgentRow = Awaited<ReturnType<typeof listAgents>>[number]

const SORT_COLUMNS = { name: agents.name, created_at: agents.createdAt }
export type SortBy = keyof typeof SORT_COLUMNS
export interface AgentFilter {
  /** Only this one, for a key that reaches no other. */
  agentId: string | null
  folderId?: string | undefined
  sortBy: SortBy
  descending: boolean
}

const within = ({ clientId, agentId }: Reach, id: string) =>
  and(
    eq(agents.id, id),
    clientId === null ? undefined : eq(agents.clientId, clientId),
    agentId === null ? undefined : eq(agents.id, agentId),
  )
const inList = (clientId: string, { folderId, agentId }: Pick<AgentFilter, 'folderId' | 'agentId'>) =>
  and(
    eq(agents.clientId, clientId),
    folderId === undefined ? undefined : eq(agents.folderId, folderId),
    agentId === null ? undefined : eq(agents.id, agentId),
  )

export async function findAgent(db: Db, reach: Reach, id: string): Promise<AgentRow | undefined> {
  const [agent] = await db.select(view).from(agents).where(within(reach, id))
  return agent
}

export function listAgents(db: Db, clientId: string, { skip, limit, sortBy, descending, ...filter }: Page & AgentFilter) {
  const order = descending ? desc : asc
  return db
    .select(view)
    .from(agents)
    .where(inList(clientId, filter))
    .orderBy(order(SORT_COLUMNS[sortBy]), order(agents.id))
    .offset(skip)
    .limit(limit)
}

export async function countAgents(db: Db, clientId: string, filter: AgentFilter): Promise<number> {
  const [row] = await db.select({ total: count() }).from(agents).where(inList(clientId, filter))
  return row?.total ?? 0
}

export async function insertAgent(db: Db, agent: typeof agents.$inferInsert): Promise<AgentRow> {
  const [inserted] = await db.insert(agents).values(agent).returning(view)
  return inserted as AgentRow
}

/** The row is locked until the transaction ends, so that two changes are merged one after the other. */
export async function lockAgent(db: Db, reach: Reach, id: string): Promise<AgentRow | undefined> {
  const [agent] = await db.select(view).from(agents).where(within(reach, id)).for('update')
  return agent
}

export async function updateAgent(db: Db, id: string, change: Partial<typeof agents.$inferInsert>): Promise<AgentRow> {
  const [updated] = await db
    .update(agents)
    .set({ ...change, version: sql`${agents.version} + 1`, updatedAt: sql`now()` })
    .where(eq(agents.id, id))
    .returning(view)
  return updated as AgentRow
}

export async function deleteAgent(db: Db, reach: Reach, id: string): Promise<{ clientId: string; name: string } | undefined> {
  const [deleted] = await db.delete(agents).where(within(reach, id)).returning({ clientId: agents.clientId, name: agents.name })
  return deleted
}

export async function findAgentByKey(db: Db, id: string, keyHash: Buffer): Promise<{ clientId: string } | undefined> {
  const [row] = await db
    .select({ clientId: agents.clientId })
    .from(agents)
    .where(and(eq(agents.id, id), eq(agents.keyHash, keyHash)))
  return row
}
