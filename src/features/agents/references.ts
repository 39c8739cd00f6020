import type { Config } from './config-schemas'
import type { AgentType } from './table'

/** Something outside of an agent that its config names. */
export interface Reference {
  kind: 'agent' | 'mcp-server' | 'tool'
  /** Lower case. */
  id: string
  pointer: string
  /** What to say when it is not there, in the reference's words. */
  missing: string
}

/** Values that the agent gives for a catalogue entry's variables. */
export interface Supply {
  id: string
  envs: Record<string, string>
  pointer: string
}

interface Known {
  sub_agents?: string[] | null
  agent_tools?: string[] | null
  tasks?: { agent_id: string }[] | null
  workflow?: { nodes?: { type?: string; data?: { agent?: { id?: unknown } } }[] } | null
  mcp_servers?: { id: string; envs?: Record<string, string> | null }[] | null
  tools?: { id: string; envs?: Record<string, string> | null }[] | null
}

const NO_SUB_AGENTS = 'One or more sub-agents do not exist'

/** Everything that a config of the right shape names. Where agents are named is also known to the SQL function `agent_targets`. */
export function referencesOf(type: AgentType, config: Config): Reference[] {
  const { sub_agents, agent_tools, tasks, workflow } = config as Known
  const { servers, tools } = catalogueSupplies(type, config)
  const listed = (kind: Reference['kind'], key: string, ids: string[] | null | undefined, missing: string) =>
    (ids ?? []).map((id, index): Reference => ({ kind, id: id.toLowerCase(), pointer: `/config/${key}/${index}`, missing }))
  return [
    ...listed('agent', 'sub_agents', sub_agents, NO_SUB_AGENTS),
    ...listed('agent', 'agent_tools', agent_tools, 'One or more agent tools do not exist'),
    ...(type === 'task' ? (tasks ?? []) : []).map(
      ({ agent_id }, index): Reference => ({
        kind: 'agent',
        id: agent_id.toLowerCase(),
        pointer: `/config/tasks/${index}/agent_id`,
        missing: `Agent not found for task: number ${index + 1}`,
      }),
    ),
    ...(type === 'workflow' ? (workflow?.nodes ?? []) : []).flatMap((node, index): Reference[] => {
      const id = node.type === 'agent-node' ? node.data?.agent?.id : undefined
      if (typeof id !== 'string') return []
      return [{ kind: 'agent', id: id.toLowerCase(), pointer: `/config/workflow/nodes/${index}/data/agent/id`, missing: 'Agent not found' }]
    }),
    ...servers.map(
      ({ id, pointer }, index): Reference => ({
        kind: 'mcp-server',
        id,
        pointer: `${pointer}/id`,
        missing: `MCP server not found: number ${index + 1}`,
      }),
    ),
    ...tools.map(
      ({ id, pointer }, index): Reference => ({
        kind: 'tool',
        id,
        pointer: `${pointer}/id`,
        missing: `Tool not found: number ${index + 1}`,
      }),
    ),
  ]
}

/** What the config gives to entries of the catalogues. */
export const catalogueSupplies = (type: AgentType, config: Config): { servers: Supply[]; tools: Supply[] } => {
  if (type !== 'llm') return { servers: [], tools: [] }
  const { mcp_servers, tools } = config as Known
  return { servers: suppliesOf('mcp_servers', mcp_servers), tools: suppliesOf('tools', tools) }
}

const suppliesOf = (key: string, entries: Known['tools']): Supply[] =>
  (entries ?? []).map(({ id, envs }, index) => ({ id: id.toLowerCase(), envs: envs ?? {}, pointer: `/config/${key}/${index}` }))
