import type { Draft } from './check-agent'
import type { Config } from './config-schemas'
import type { AgentRow } from './queries'
import type { AgentChange } from './schema'

/** What a card says is for the card to say. */
export const withoutCard = ({ agent_card: _, ...config }: Config): Config => config

/** Whoever changes a remote agent's config need not repeat what its card said. */
export const cardOf = ({ type, config: { agent_card } }: AgentRow): Config =>
  type === 'a2a' && agent_card !== undefined ? { agent_card } : {}

/** The agent with a change in place: what is absent stays. */
export const merge = (before: AgentRow, change: AgentChange, config: Record<string, unknown>): Draft => ({
  type: change.type ?? before.type,
  name: change.name ?? before.name,
  agent_card_url: change.agent_card_url === undefined ? before.agent_card_url : change.agent_card_url,
  model: change.model === undefined ? before.model : change.model,
  description: change.description === undefined ? before.description : change.description,
  role: change.role === undefined ? before.role : change.role,
  goal: change.goal === undefined ? before.goal : change.goal,
  instruction: change.instruction === undefined ? before.instruction : change.instruction,
  api_key_id: change.api_key_id === undefined ? before.api_key_id : change.api_key_id,
  folder_id: change.folder_id === undefined ? before.folder_id : change.folder_id,
  config,
})
