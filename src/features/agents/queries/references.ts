import { type SQL, sql } from 'drizzle-orm'
import { bareArray } from '~/platform/bare-array'
import type { Db } from '~/platform/db'
import { oneAtATime } from '~/platform/one-at-a-time'
import { UUID } from '~/platform/uuid'

/** More agents than these in one tree are refused, so that no check reads a whole client. */
export const MAX_REACHED = 500

export interface FoundReferences {
  /** The agents that were asked for and all that they lead to, of this client. */
  agents: { id: string; name: string; targets: string[] }[]
  servers: { id: string; name: string; environments: Record<string, string> }[]
  tools: { id: string; name: string; environments: Record<string, string> }[]
}

const uuids = (ids: string[]) => sql`${bareArray(ids)}::uuid[]`

/** What exists of the ids in question, in one statement: agents with all that they lead to, as far as one more than `MAX_REACHED`, and entries of the catalogues. */
export async function findReferences(
  db: Db,
  clientId: string,
  { agentIds, serverIds, toolIds }: { agentIds: string[]; serverIds: string[]; toolIds: string[] },
): Promise<FoundReferences> {
  const catalogue = (table: SQL, ids: string[]) => sql`(
    select coalesce(json_agg(json_build_object('id', id, 'name', name, 'environments', environments)), '[]') from ${table} where id = any(${uuids(ids)})
  )`
  // What a definition names may be anything; only what is an id becomes one, which finds its agent by the index.
  const [row] = await db.execute<FoundReferences & Record<string, unknown>>(sql`
    with recursive reached as (
      select id, name, agent_targets(type, config) as targets from agents where client_id = ${clientId} and id = any(${uuids(agentIds)})
      union
      select a.id, a.name, agent_targets(a.type, a.config)
      from reached r cross join unnest(r.targets) as target
      join agents a on a.client_id = ${clientId} and a.id = case when target ~ ${UUID.source} then target::uuid end
    )
    select
      (select coalesce(json_agg(found), '[]') from (select id, name, targets from reached limit ${MAX_REACHED + 1}) found) as agents,
      ${catalogue(sql`mcp_servers`, serverIds)} as servers,
      ${catalogue(sql`tools`, toolIds)} as tools`)
  return row as FoundReferences
}

/**
 * One change of who refers to whom at a time in each client, until the transaction ends: two at once could close a circle that neither sees. Comes before the
 * row of an agent: who has it goes on to lock others. Sent when called.
 */
export async function lockReferences(tx: Db, clientId: string): Promise<void> {
  await oneAtATime(tx, 'agent references', clientId)
}
