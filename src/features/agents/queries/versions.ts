import { and, count, desc, eq, lte, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import type { AgentRow } from '../queries'
import { agents, agentVersions } from '../table'

/** Former versions of one agent that are kept. */
const MAX_VERSIONS = 100

/** What of an agent its versions remember. */
export type Definition = Pick<
  AgentRow,
  'name' | 'description' | 'role' | 'goal' | 'type' | 'model' | 'api_key_id' | 'instruction' | 'agent_card_url' | 'folder_id' | 'config'
>

interface OfAgent {
  clientId: string
  agentId: string
}

const ofAgent = ({ clientId, agentId }: OfAgent) => and(eq(agentVersions.clientId, clientId), eq(agentVersions.agentId, agentId))

/** Remembers the agent as it is now: to be called before each change of it. */
export async function keepVersion(db: Db, { id, client_id: clientId, version }: AgentRow) {
  await db.insert(agentVersions).select(
    db
      .select({
        clientId: agents.clientId,
        agentId: sql<string>`${agents.id}`.as('agent_id'),
        version: agents.version,
        definition: sql<Definition>`jsonb_build_object(
          'name', ${agents.name}, 'description', ${agents.description}, 'role', ${agents.role}, 'goal', ${agents.goal}, 'type', ${agents.type},
          'model', ${agents.model}, 'api_key_id', ${agents.apiKeyId}, 'instruction', ${agents.instruction},
          'agent_card_url', ${agents.agentCardUrl}, 'folder_id', ${agents.folderId}, 'config', ${agents.config})`.as('definition'),
        madeAt: sql<Date>`coalesce(${agents.updatedAt}, ${agents.createdAt})`.as('made_at'),
      })
      .from(agents)
      .where(eq(agents.id, id)),
  )
  if (version > MAX_VERSIONS)
    await db.delete(agentVersions).where(and(ofAgent({ clientId, agentId: id }), lte(agentVersions.version, version - MAX_VERSIONS)))
}

/** Newest first, without what they say. */
export const listVersions = (db: Db, owner: OfAgent, { skip, limit }: Page) =>
  db
    .select({
      version: agentVersions.version,
      name: sql<string>`${agentVersions.definition}->>'name'`,
      type: sql<AgentRow['type']>`${agentVersions.definition}->>'type'`,
      made_at: agentVersions.madeAt,
    })
    .from(agentVersions)
    .where(ofAgent(owner))
    .orderBy(desc(agentVersions.version))
    .offset(skip)
    .limit(limit)

export async function countVersions(db: Db, owner: OfAgent): Promise<number> {
  const [row] = await db.select({ total: count() }).from(agentVersions).where(ofAgent(owner))
  return row?.total ?? 0
}

export async function findVersion(db: Db, owner: OfAgent, version: number): Promise<{ definition: Definition; madeAt: Date } | undefined> {
  const [row] = await db
    .select({ definition: agentVersions.definition, madeAt: agentVersions.madeAt })
    .from(agentVersions)
    .where(and(ofAgent(owner), eq(agentVersions.version, version)))
  // Written by `keepVersion` in this shape.
  return row && { definition: row.definition as unknown as Definition, madeAt: row.madeAt }
}
