import { createHash } from 'node:crypto'
import { authorize, authorizeReach, can, type Reach } from '~/platform/access'
import { type Db, sqlState } from '~/platform/db'
import { DomainError, invalid, notFound } from '~/platform/errors'
import { idOrNull, type Page } from '~/platform/http/schema'
import type { Outbound } from '~/platform/outbound'
import type { Principal } from '~/platform/principal'
import type { Secrets } from '~/platform/secrets'
import type { Write } from '~/platform/unit-of-work'
import { checkHttpTools, checkLlmConfig, checkModel, LLM_CONFIG_KEYS } from './llm-config'
import {
  type AgentFilter,
  type AgentRow,
  countAgents,
  deleteAgent,
  findAgent,
  findAgentByKey,
  insertAgent,
  listAgents,
  lockAgent,
  updateAgent,
} from './queries'
import type { Agent, AgentChange, NewAgent } from './schema'

export type AgentService = ReturnType<typeof createAgentService>

export function createAgentService({
  db,
  write,
  secrets,
  outbound,
  apiUrl,
}: {
  db: Db
  write: Write
  secrets: Secrets
  outbound: Outbound
  apiUrl: string
}) {
  /** The rules of creation, which also hold for what a change leaves. */
  const check = (input: Input) => {
    const checked = checkAgent(input)
    checkHttpTools(checked.config, outbound)
    return checked
  }

  /** The agent as its own tenant sees it. Its key opens chats, so only those see it who may chat anyway. */
  const shownTo = async (principal: Principal, { encryptedKey, ...agent }: AgentRow): Promise<Agent> => ({
    ...agent,
    model: agent.model ?? '',
    agent_card_url: agent.agent_card_url ?? `${apiUrl}/api/v1/a2a/${agent.id}/.well-known/agent.json`,
    config: {
      ...(agent.type === 'llm' ? EMPTY_LLM_CONFIG : {}),
      ...agent.config,
      api_key: can(principal, 'write', { kind: 'chat', clientId: agent.client_id, agentId: agent.id })
        ? await secrets.open(db, agent.client_id, contextOf(agent.id), encryptedKey)
        : null,
    },
  })

  return {
    async create(principal: Principal, input: NewAgent): Promise<Agent> {
      const clientId = input.client_id
      authorize(principal, 'write', { kind: 'agents', clientId })
      const { api_key, ...config } = input.config ?? {}
      const checked = check({ ...input, config })
      // The row and not what is shown of it: an Idempotency-Key keeps this answer, which must not hold the key in clear.
      const created = await write(principal, async ({ tx, audit }) => {
        const id = crypto.randomUUID()
        const key = typeof api_key === 'string' && api_key !== '' ? api_key : crypto.randomUUID()
        const row = await insertAgent(tx, {
          ...checked,
          id,
          clientId,
          keyHash: hashKey(key),
          encryptedKey: await secrets.seal(tx, clientId, contextOf(id), key),
        }).catch(refuseReference)
        audit({
          action: 'create',
          resourceType: 'agent',
          resourceId: id,
          clientId,
          details: { name: row.name, type: row.type, model: row.model },
        })
        return row
      })
      return shownTo(principal, created)
    },

    async list(
      principal: Principal,
      clientId: string,
      page: Page & Omit<AgentFilter, 'agentId'>,
    ): Promise<{ items: Agent[]; total: number }> {
      const { agentId } = authorizeReach(principal, 'read', 'agents')
      authorize(principal, 'read', { kind: 'agents', clientId, agentId })
      const filter = { ...page, agentId }
      const rows = await listAgents(db, clientId, filter)
      // A short page tells the total by itself.
      const total =
        rows.length < page.limit && (rows.length > 0 || page.skip === 0) ? page.skip + rows.length : await countAgents(db, clientId, filter)
      return { items: await Promise.all(rows.map((row) => shownTo(principal, row))), total }
    },

    /** `clientId` narrows an admin's view to one client; anybody else may only name their own. */
    async get(principal: Principal, id: string, clientId?: string): Promise<Agent> {
      const reach = authorizeReach(principal, 'read', 'agents')
      if (clientId !== undefined) authorize(principal, 'read', { kind: 'agents', clientId, agentId: reach.agentId ?? id })
      const agent = await findAgent(db, clientId === undefined ? reach : { ...reach, clientId }, id)
      if (agent === undefined) throw notFound('Agent')
      return shownTo(principal, agent)
    },

    /** Merges, then checks the whole with the rules of creation. An absent or empty `config.api_key` keeps the key. */
    async update(principal: Principal, id: string, change: AgentChange): Promise<Agent> {
      const reach = authorizeReach(principal, 'write', 'agents')
      const updated = await write(principal, async ({ tx, audit }) => {
        const before = await lockAgent(tx, reach, id)
        if (before === undefined) throw notFound('Agent')
        if (change.client_id !== undefined && change.client_id !== before.client_id)
          throw new DomainError('forbidden', 'An agent stays with its client.')
        if (change.type !== undefined && change.type !== before.type)
          throw invalid('/type', 'read-only', 'The type of an agent cannot be changed')
        const { api_key, ...config } = change.config ?? before.config
        const checked = check(merge(before, change, config))
        const key = typeof api_key === 'string' && api_key !== '' ? api_key : undefined
        const row = await updateAgent(tx, id, {
          ...checked,
          ...(key === undefined
            ? {}
            : { keyHash: hashKey(key), encryptedKey: await secrets.seal(tx, before.client_id, contextOf(id), key) }),
        }).catch(refuseReference)
        audit({
          action: 'update',
          resourceType: 'agent',
          resourceId: id,
          clientId: row.client_id,
          details: { name: row.name, fields: Object.keys(change) },
        })
        return row
      })
      return shownTo(principal, updated)
    },

    remove(principal: Principal, id: string): Promise<void> {
      const reach = authorizeReach(principal, 'write', 'agents')
      return write(principal, async ({ tx, audit }) => {
        const gone = await deleteAgent(tx, reach, id)
        if (gone === undefined) throw notFound('Agent')
        audit({ action: 'delete', resourceType: 'agent', resourceId: id, clientId: gone.clientId, details: { name: gone.name } })
      })
    },

    /** The client that an agent's key belongs to. @throws DomainError `invalid-api-key`, also for an agent that does not exist. */
    async openWithKey(id: string, key: string): Promise<{ clientId: string }> {
      if (!UUID.test(id)) throw new DomainError('invalid-api-key', 'Invalid API key')
      const owner = await findAgentByKey(db, id, hashKey(key))
      if (owner === undefined) throw new DomainError('invalid-api-key', 'Invalid API key')
      return owner
    },

    /** The row itself, for those who run it and have asked for the right to. @throws DomainError `not-found` */
    async find(reach: Reach, id: string): Promise<AgentRow> {
      const agent = await findAgent(db, reach, id)
      if (agent === undefined) throw notFound('Agent')
      return agent
    },
  }
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const contextOf = (id: string) => `agents:${id}`
const hashKey = (key: string) => createHash('sha256').update(key).digest()
const EMPTY_LLM_CONFIG = Object.fromEntries(LLM_CONFIG_KEYS.map((key) => [key, null]))

const AGENT_NAME = /^[a-zA-Z0-9_-]+$/

type Input = Omit<NewAgent, 'client_id' | 'config'> & { config: Record<string, unknown> }

function checkAgent({ type, name, config, model, api_key_id, folder_id, ...texts }: Input) {
  if (type !== 'llm') throw invalid('/type', 'choice', `Agents of type ${type} are not available in this version; use llm`)
  if (name === undefined || name === null || name === '') throw invalid('/name', 'required', 'Name is required for non-a2a agent types')
  if (!AGENT_NAME.test(name)) throw invalid('/name', 'format', 'Agent name cannot contain spaces or special characters')
  checkLlmConfig(config)
  return {
    type,
    name,
    config,
    model: checkModel(model),
    apiKeyId: idOrNull(api_key_id),
    folderId: idOrNull(folder_id),
    description: texts.description ?? null,
    role: texts.role ?? null,
    goal: texts.goal ?? null,
    instruction: texts.instruction ?? null,
    // Computed for agents of ours; only a remote agent has one of its own.
    agentCardUrl: null,
  }
}

const merge = (before: AgentRow, change: AgentChange, config: Record<string, unknown>): Input => ({
  type: before.type,
  name: change.name ?? before.name,
  model: change.model === undefined ? before.model : change.model,
  description: change.description === undefined ? before.description : change.description,
  role: change.role === undefined ? before.role : change.role,
  goal: change.goal === undefined ? before.goal : change.goal,
  instruction: change.instruction === undefined ? before.instruction : change.instruction,
  api_key_id: change.api_key_id === undefined ? before.api_key_id : change.api_key_id,
  folder_id: change.folder_id === undefined ? before.folder_id : change.folder_id,
  config,
})

/** The database itself refuses a folder or key of another client; unknown ones look the same. */
function refuseReference(error: unknown): never {
  const state = sqlState(error)
  if (state?.code === '23503' && state.constraint?.includes('folder_id')) throw invalid('/folder_id', 'not-found', 'Folder not found')
  if (state?.code === '23503' && state.constraint?.includes('api_key_id')) throw invalid('/api_key_id', 'not-found', 'API Key not found')
  if (state?.code === '23505') throw invalid('/config/api_key', 'taken', 'This key cannot be used; leave it out and one is generated')
  throw error
}
