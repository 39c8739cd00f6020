import { and, asc, count, desc, eq, sql } from 'drizzle-orm'
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
  folderId?: string | undefined
  sortBy: SortBy
  descending: boolean
}

/** `clientId` null reads across clients: for platform admins alone. */
const within = (clientId: string | null, id: string) =>
  and(eq(agents.id, id), clientId === null ? undefined : eq(agents.clientId, clientId))
const inList = (hasFolder: boolean) =>
  and(eq(agents.clientId, sql.placeholder('clientId')), hasFolder ? eq(agents.folderId, sql.placeholder('folderId')) : undefined)

/**
 * What is asked all day is built once for each `db`: that takes Drizzle longer than the answer takes PostgreSQL.
 * A transaction is a `db` of its own, so there is nothing to gain in one.
 */
function builtOnce<Args extends (string | boolean)[], T>(build: (db: Db, ...args: Args) => T): (db: Db, ...args: Args) => T {
  const built = new WeakMap<Db, Map<string, T>>()
  return (db, ...args) => {
    const key = args.join()
    const known = built.get(db)?.get(key)
    if (known !== undefined) return known
    const statement = build(db, ...args)
    built.set(db, (built.get(db) ?? new Map<string, T>()).set(key, statement))
    return statement
  }
}

const oneAgent = builtOnce((db, isAdmin: boolean) => {
  const ofClient = isAdmin ? undefined : eq(agents.clientId, sql.placeholder('clientId'))
  return db
    .select(view)
    .from(agents)
    .where(and(eq(agents.id, sql.placeholder('id')), ofClient))
    .prepare('')
})

export async function findAgent(db: Db, clientId: string | null, id: string): Promise<AgentRow | undefined> {
  const [agent] = await oneAgent(db, clientId === null).execute({ id, clientId })
  return agent
}

const pageOfAgents = builtOnce((db, sortBy: SortBy, descending: boolean, hasFolder: boolean) => {
  const order = descending ? desc : asc
  return db
    .select(view)
    .from(agents)
    .where(inList(hasFolder))
    .orderBy(order(SORT_COLUMNS[sortBy]), order(agents.id))
    .offset(sql.placeholder('skip'))
    .limit(sql.placeholder('limit'))
    .prepare('')
})

export const listAgents = (db: Db, clientId: string, { skip, limit, folderId, sortBy, descending }: Page & AgentFilter) =>
  pageOfAgents(db, sortBy, descending, folderId !== undefined).execute({ clientId, folderId, skip, limit })

const agentCount = builtOnce((db, hasFolder: boolean) => db.select({ total: count() }).from(agents).where(inList(hasFolder)).prepare(''))

export async function countAgents(db: Db, clientId: string, folderId: string | undefined): Promise<number> {
  const [row] = await agentCount(db, folderId !== undefined).execute({ clientId, folderId })
  return row?.total ?? 0
}

export async function insertAgent(db: Db, agent: typeof agents.$inferInsert): Promise<AgentRow> {
  const [inserted] = await db.insert(agents).values(agent).returning(view)
  return inserted as AgentRow
}

/** The row is locked until the transaction ends, so that two changes are merged one after the other. */
export async function lockAgent(db: Db, clientId: string | null, id: string): Promise<AgentRow | undefined> {
  const [agent] = await db.select(view).from(agents).where(within(clientId, id)).for('update')
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

export async function deleteAgent(db: Db, clientId: string | null, id: string): Promise<{ clientId: string; name: string } | undefined> {
  const [deleted] = await db.delete(agents).where(within(clientId, id)).returning({ clientId: agents.clientId, name: agents.name })
  return deleted
}

export async function findAgentByKey(db: Db, id: string, keyHash: Buffer): Promise<{ clientId: string } | undefined> {
  const [row] = await db
    .select({ clientId: agents.clientId })
    .from(agents)
    .where(and(eq(agents.id, id), eq(agents.keyHash, keyHash)))
  return row
}
