import { DomainError } from '~/platform/errors'
import type { Unit } from '~/platform/unit-of-work'
import type { Config } from './config-schemas'
import { lockReferrers, updateAgent } from './queries'
import { keepVersion } from './queries/versions'
import type { AgentType } from './table'

/** Beyond these a deletion would hold up the whole client. */
export const MAX_REFERRERS = 500

/**
 * Takes a deleted agent out of all that named it, each as a change of its own: a new version, told and audited. What is left of them may be less than they
 * need; then they say so when they are run or saved. Needs the lock of the client's references. @throws DomainError `conflict` where too many name it
 */
export async function forgetAgent({ tx, audit, notify }: Unit, { clientId, id }: { clientId: string; id: string }): Promise<void> {
  const referrers = await lockReferrers(tx, clientId, id, MAX_REFERRERS + 1)
  if (referrers.length > MAX_REFERRERS)
    throw new DomainError('conflict', `More than ${MAX_REFERRERS} agents name this one. Take it out of some of them first.`)
  for (const before of referrers) {
    await keepVersion(tx, before)
    await updateAgent(tx, before.id, { config: withoutAgent(before.type, before.config, id) })
    audit({
      action: 'update',
      resourceType: 'agent',
      resourceId: before.id,
      clientId,
      details: { name: before.name, fields: ['config'], deleted_agent_id: id },
    })
    notify({ type: 'agent.changed', clientId, data: { agent_id: before.id, change: 'update' } })
  }
}

/** The places are those of `referencesOf`. A node of a workflow stays where it is, with no agent chosen. */
export function withoutAgent(type: AgentType, config: Config, id: string): Config {
  const isIt = (value: unknown) => typeof value === 'string' && value.toLowerCase() === id
  const left: Config = { ...config }
  for (const list of ['sub_agents', 'agent_tools']) {
    const named = config[list]
    if (Array.isArray(named)) left[list] = named.filter((value) => !isIt(value))
  }
  const { tasks, workflow } = config as { tasks?: unknown; workflow?: { nodes?: unknown } | null }
  if (type === 'task' && Array.isArray(tasks)) left.tasks = tasks.filter((task) => !isIt(Object(task).agent_id))
  if (type === 'workflow' && Array.isArray(workflow?.nodes))
    left.workflow = { ...workflow, nodes: workflow.nodes.map((node) => (isIt(agentIdOf(node)) ? withoutChoice(node) : node)) }
  return left
}

interface Node {
  data: { agent: { id: unknown } }
}

const agentIdOf = (node: Partial<Node>) => node?.data?.agent?.id

function withoutChoice(node: Node): unknown {
  const { agent: _, ...data } = node.data
  return { ...node, data }
}
