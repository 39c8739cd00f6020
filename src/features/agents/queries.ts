import { and, asc, count, desc, eq, or, sql } from 'drizzle-orm'
import type { Reach } from '~/platform/access'
import { builtOnce } from '~/platform/built-once'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { isoTime } from '~/platform/iso-time'
import { behind, momentOf } from '~/platform/keyset'
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
  version: agents.version,
  created_at: isoTime(agents.createdAt),
  updated_at: isoTime(agents.updatedAt),
  encryptedKey: agents.encryptedKey,
}

export type AgentRow = Omit<Awaited<ReturnType<typeof listAgents>>[number], 'at' | 'total'>

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

const oneAgent = builtOnce((db, anyClient: boolean, anyAgent: boolean) =>
  db
    .select(view)
    .from(agents)
    .where(
      and(
        eq(agents.id, sql.placeholder('id')),
        anyClient ? undefined : eq(agents.clientId, sql.placeholder('clientId')),
        anyAgent ? undefined : eq(agents.id, sql.placeholder('agentId')),
      ),
    )
    .prepare(''),
)

export async function findAgent(db: Db, { clientId, agentId }: Reach, id: string): Promise<AgentRow | undefined> {
  const [agent] = await oneAgent(db, clientId === null, agentId === null).execute({ id, clientId, agentId })
  return agent
}

const inList = (anyFolder: boolean, anyAgent: boolean) =>
  and(
    eq(agents.clientId, sql.placeholder('clientId')),
    anyFolder ? undefined : eq(agents.folderId, sql.placeholder('folderId')),
    anyAgent ? undefined : eq(agents.id, sql.placeholder('agentId')),
  )

/** Where a page begins. At the start it says no OFFSET: PostgreSQL takes any for large, and sorts the list rather than read one page of the index. */
type PageStart = 'start' | 'skip' | 'cursor'

const pageOfAgents = builtOnce((db, sortBy: SortBy, descending: boolean, anyFolder: boolean, anyAgent: boolean, from: PageStart) => {
  const order = descending ? desc : asc
  const by = SORT_COLUMNS[sortBy]
  const after = from === 'cursor' ? { at: sql.placeholder('at'), id: sql.placeholder('after') } : undefined
  const page = db
    .select({
      ...view,
      total: db.$count(agents, inList(anyFolder, anyAgent)),
      at: sortBy === 'created_at' ? momentOf(by) : sql<string>`${by}`,
    })
    .from(agents)
    .where(and(inList(anyFolder, anyAgent), behind(after, { by, id: agents.id, descending })))
    .orderBy(order(by), order(agents.id))
    .limit(sql.placeholder('limit'))
  return (from === 'skip' ? page.offset(sql.placeholder('skip')) : page).prepare('')
})

/** Each row with the `total` of the whole list: PostgreSQL counts once, and a question of its own would cost another round trip. */
export const listAgents = (db: Db, clientId: string, { skip, limit, after, folderId, agentId, sortBy, descending }: Page & AgentFilter) =>
  pageOfAgents(db, sortBy, descending, folderId === undefined, agentId === null, after ? 'cursor' : skip > 0 ? 'skip' : 'start').execute({
    clientId,
    folderId,
    agentId,
    skip,
    limit,
    ...(after === undefined ? {} : { at: after.at, after: after.id }),
  })

const agentCount = builtOnce((db, anyFolder: boolean, anyAgent: boolean) =>
  db.select({ total: count() }).from(agents).where(inList(anyFolder, anyAgent)).prepare(''),
)

/** For a page behind the end, which has no row to tell it. */
export async function countAgents(db: Db, clientId: string, { folderId, agentId }: AgentFilter): Promise<number> {
  const [row] = await agentCount(db, folderId === undefined, agentId === null).execute({ clientId, folderId, agentId })
  return row?.total ?? 0
}

const newAgent = builtOnce((db) =>
  db
    .insert(agents)
    .values({
      id: sql.placeholder('id'),
      clientId: sql.placeholder('clientId'),
      folderId: sql.placeholder('folderId'),
      name: sql.placeholder('name'),
      description: sql.placeholder('description'),
      role: sql.placeholder('role'),
      goal: sql.placeholder('goal'),
      type: sql.placeholder('type'),
      model: sql.placeholder('model'),
      apiKeyId: sql.placeholder('apiKeyId'),
      instruction: sql.placeholder('instruction'),
      agentCardUrl: sql.placeholder('agentCardUrl'),
      config: sql.placeholder('config'),
      keyHash: sql.placeholder('keyHash'),
      encryptedKey: sql.placeholder('encryptedKey'),
    })
    .returning(view)
    .prepare(''),
)

export type NewAgentRow = Required<
  Omit<typeof agents.$inferInsert, 'version' | 'createdAt' | 'updatedAt' | 'shareKeyHash' | 'shareEncryptedKey'>
>

export async function insertAgent(db: Db, agent: NewAgentRow): Promise<AgentRow> {
  const [inserted] = await newAgent(db).execute(agent)
  return inserted as AgentRow
}

/** The row is locked until the transaction ends, so that two changes are merged one after the other. Chats, which refer to it, go on. */
export async function lockAgent(db: Db, reach: Reach, id: string): Promise<AgentRow | undefined> {
  const [agent] = await db.select(view).from(agents).where(within(reach, id)).for('no key update')
  return agent
}

/** Those of a client that name an agent, locked in the order of their ids. `agent_targets` knows where agents are named. */
export const lockReferrers = (db: Db, clientId: string, id: string, limit: number) =>
  db
    .select(view)
    .from(agents)
    .where(and(eq(agents.clientId, clientId), sql`agent_targets(${agents.type}, ${agents.config}) @> array[${id}]`))
    .orderBy(asc(agents.id))
    .limit(limit)
    .for('no key update')

export async function updateAgent(db: Db, id: string, change: Partial<typeof agents.$inferInsert>): Promise<AgentRow> {
  const [updated] = await db
    .update(agents)
    .set({ ...change, version: sql`${agents.version} + 1`, updatedAt: sql`now()` })
    .where(eq(agents.id, id))
    .returning(view)
  return updated as AgentRow
}

export const deleteAgent = (db: Db, id: string) => db.delete(agents).where(eq(agents.id, id))

/** By its own key or, where that is enough, by the one of its share link. */
export async function findAgentByKey(
  db: Db,
  id: string,
  { keyHash, shared }: { keyHash: Buffer; shared: boolean },
): Promise<{ clientId: string } | undefined> {
  const isOpenedBy = shared ? or(eq(agents.keyHash, keyHash), eq(agents.shareKeyHash, keyHash)) : eq(agents.keyHash, keyHash)
  const [row] = await db
    .select({ clientId: agents.clientId })
    .from(agents)
    .where(and(eq(agents.id, id), isOpenedBy))
  return row
}
