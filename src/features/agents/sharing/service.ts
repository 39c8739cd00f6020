import { authorize, authorizeReach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { notFound } from '~/platform/errors'
import type { Principal } from '~/platform/principal'
import type { Secrets } from '~/platform/secrets'
import type { Write } from '~/platform/unit-of-work'
import { hashKey } from '../agent-key'
import { type AgentRow, findAgent } from '../queries'
import { lockShareKey, setShareKey } from '../queries/share-keys'
import type { Agent } from '../schema'
import { agentCardUrlOf } from '../view'

export type AgentSharing = ReturnType<typeof createAgentSharing>

interface Deps {
  db: Db
  write: Write
  secrets: Secrets
  apiUrl: string
}

/** Links for people without an account. Their key is another one than the agent's own: it opens the chat alone, and can be taken back. */
export const createAgentSharing = ({ db, write, secrets, apiUrl }: Deps) => ({
  /** The same key until it is taken back, so that links stay good. */
  async share(principal: Principal, clientId: string, id: string): Promise<{ api_key: string }> {
    const { agentId } = authorizeReach(principal, 'write', 'agents')
    authorize(principal, 'write', { kind: 'agents', clientId, agentId: agentId ?? id })
    // Sealed: an Idempotency-Key keeps this answer.
    const { sealed } = await write(principal, async ({ tx, audit }) => {
      const before = await lockShareKey(tx, { clientId, agentId }, id)
      if (before === undefined) throw notFound('Agent')
      if (before.encryptedKey !== null) return { sealed: before.encryptedKey }
      const key = crypto.randomUUID()
      const made = await secrets.seal(tx, clientId, contextOf(id), key)
      await setShareKey(tx, id, { shareKeyHash: hashKey(key), shareEncryptedKey: made })
      audit({ action: 'share', resourceType: 'agent', resourceId: id, clientId })
      return { sealed: made }
    })
    return { api_key: await secrets.open(db, clientId, contextOf(id), sealed) }
  },

  /** Links end at once. */
  unshare(principal: Principal, id: string): Promise<void> {
    const reach = authorizeReach(principal, 'write', 'agents')
    return write(principal, async ({ tx, audit }) => {
      const before = await lockShareKey(tx, reach, id)
      if (before === undefined) throw notFound('Agent')
      if (before.encryptedKey === null) return
      await setShareKey(tx, id, { shareKeyHash: null, shareEncryptedKey: null })
      audit({ action: 'unshare', resourceType: 'agent', resourceId: id, clientId: before.clientId })
    })
  },

  /** What whoever holds a key of the agent may know of it: no prompt, no secret, nothing of how it works. */
  async shared(principal: Principal, id: string): Promise<Agent> {
    const agent = await findAgent(db, authorizeReach(principal, 'read', 'chat'), id)
    if (agent === undefined) throw notFound('Agent')
    const { client_id, name, description, type, created_at, updated_at } = agent
    return {
      id,
      client_id,
      name,
      description,
      type,
      created_at,
      updated_at,
      folder_id: null,
      role: null,
      goal: null,
      model: agent.model ?? '',
      api_key_id: null,
      instruction: null,
      agent_card_url: agentCardUrlOf(agent, apiUrl),
      config: reducedConfig(agent),
    }
  },
})

const contextOf = (id: string) => `agents:${id}:share`

interface Shown {
  sub_agents?: unknown
  mcp_servers?: { id: string; tools?: string[] | null }[] | null
}

function reducedConfig({ type, config }: AgentRow): Record<string, unknown> {
  const { sub_agents = null, mcp_servers } = config as Shown
  if (type !== 'llm') return { sub_agents }
  return { sub_agents, mcp_servers: mcp_servers?.map(({ id, tools }) => ({ id, tools: tools ?? [] })) ?? null }
}
