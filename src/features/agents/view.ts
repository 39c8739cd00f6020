import { can } from '~/platform/access'
import type { Db } from '~/platform/db'
import type { Principal } from '~/platform/principal'
import type { Secrets } from '~/platform/secrets'
import { LLM_CONFIG_KEYS } from './config-schemas'
import { maskAddresses, maskSecrets } from './config-secrets'
import type { AgentRow } from './queries'
import type { Agent } from './schema'

/** What the ciphertext of an agent's own key is bound to, and what those within its config are. */
export const keyContextOf = (id: string) => `agents:${id}`
export const configContextOf = (id: string) => `agents:${id}:config`

/** Of an agent of ours it is computed; only a remote one has one of its own. */
export const agentCardUrlOf = ({ id, agent_card_url }: Pick<AgentRow, 'id' | 'agent_card_url'>, apiUrl: string) =>
  agent_card_url ?? `${apiUrl}/api/v1/a2a/${id}/.well-known/agent.json`

/** For `ETag` and `If-Match`. */
export const etagOf = ({ version }: Pick<AgentRow, 'version'>) => `"${version}"`

const EMPTY_LLM_CONFIG = Object.fromEntries(LLM_CONFIG_KEYS.map((key) => [key, null]))

export const mayChange = (principal: Principal, { id, client_id: clientId }: Pick<AgentRow, 'id' | 'client_id'>): boolean =>
  can(principal, 'write', { kind: 'agents', clientId, agentId: id })

/**
 * The agent as its own tenant sees it: its key opens chats, so only those see it who may chat anyway; of its secrets nobody sees more than the end, and
 * those that stand within addresses are for who may change them.
 */
export const createAgentView =
  ({ db, secrets, apiUrl }: { db: Db; secrets: Secrets; apiUrl: string }) =>
  (principal: Principal, whole: AgentRow): Agent | Promise<Agent> => {
    const { id, client_id: clientId } = whole
    const row = mayChange(principal, whole)
      ? whole
      : { ...whole, config: maskAddresses(whole.config), agent_card_url: maskAddresses(whole.agent_card_url) }
    if (!can(principal, 'write', { kind: 'chat', clientId, agentId: id })) return shown(row, null, apiUrl)
    const key = secrets.open(db, clientId, keyContextOf(id), row.encryptedKey)
    return typeof key === 'string' ? shown(row, key, apiUrl) : key.then((opened) => shown(row, opened, apiUrl))
  }

/** Spelt out: that takes a tenth of the time of copying all but one. */
const shown = (row: AgentRow, api_key: string | null, apiUrl: string): Agent => ({
  id: row.id,
  client_id: row.client_id,
  folder_id: row.folder_id,
  name: row.name,
  description: row.description,
  role: row.role,
  goal: row.goal,
  type: row.type,
  model: row.model ?? '',
  api_key_id: row.api_key_id,
  instruction: row.instruction,
  agent_card_url: agentCardUrlOf(row, apiUrl),
  config: { ...(row.type === 'llm' ? EMPTY_LLM_CONFIG : undefined), ...maskSecrets(row.config), api_key },
  created_at: row.created_at,
  updated_at: row.updated_at,
})
