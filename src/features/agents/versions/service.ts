import { authorizeReach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import type { Principal } from '~/platform/principal'
import { maskAddresses, maskSecrets } from '../config-secrets'
import type { AgentRow } from '../queries'
import { countVersions, type Definition, findVersion, listVersions } from '../queries/versions'
import type { AgentService, ShownAgent } from '../service'
import { mayChange } from '../view'
import { differences } from './difference'
import type { AgentVersion, AgentVersionDetail, Difference } from './schema'

export type AgentVersionService = ReturnType<typeof createAgentVersionService>

/** What an agent was. Each change makes a version; the last hundred stay. */
export function createAgentVersionService({ db, agents }: { db: Db; agents: AgentService }) {
  const find = (principal: Principal, action: 'read' | 'write', id: string) => agents.find(authorizeReach(principal, action, 'agents'), id)

  const versionOf = async (agent: AgentRow, version: number): Promise<{ definition: Definition; madeAt: Date | string }> => {
    if (version === agent.version) return { definition: definitionOf(agent), madeAt: agent.updated_at ?? agent.created_at }
    const found = await findVersion(db, { clientId: agent.client_id, agentId: agent.id }, version)
    if (found === undefined) throw notFound('Version')
    return found
  }

  return {
    /** Newest first, the current one at the head. */
    async list(principal: Principal, id: string, { skip, limit }: Page): Promise<{ items: AgentVersion[]; total: number }> {
      const agent = await find(principal, 'read', id)
      const owner = { clientId: agent.client_id, agentId: id }
      const { version, name, type, created_at, updated_at } = agent
      const current = skip > 0 ? [] : [{ version, name, type, made_at: updated_at ?? created_at, is_current: true }]
      const former = limit - current.length
      const [rows, total] = await Promise.all([
        former === 0 ? [] : listVersions(db, owner, { skip: Math.max(0, skip - 1), limit: former }),
        countVersions(db, owner),
      ])
      return { items: [...current, ...rows.map((row) => ({ ...row, is_current: false }))], total: total + 1 }
    },

    async get(principal: Principal, id: string, version: number): Promise<AgentVersionDetail> {
      const agent = await find(principal, 'read', id)
      const { definition, madeAt } = await versionOf(agent, version)
      return { version, made_at: madeAt, is_current: version === agent.version, definition: shownTo(principal, agent, definition) }
    },

    /** From one version to another, the current one unless it is named. */
    async diff(principal: Principal, id: string, from: number, to: number | undefined): Promise<Difference[]> {
      const agent = await find(principal, 'read', id)
      const [before, after] = await Promise.all([versionOf(agent, from), versionOf(agent, to ?? agent.version)])
      return differences(shownTo(principal, agent, before.definition), shownTo(principal, agent, after.definition))
    },

    /** Makes a new version that says what a former one said, with its secrets; the agent's key and folder stay. Checked like any other change. */
    async rollback(principal: Principal, id: string, version: number): Promise<ShownAgent> {
      const agent = await find(principal, 'write', id)
      const { definition } = await versionOf(agent, version)
      const { folder_id: _, ...change } = shown(definition)
      return agents.update(principal, id, change, { known: definition.config })
    },
  }
}

/** In one order, whatever order the database keeps. */
const definitionOf = (from: Definition): Definition => ({
  name: from.name,
  description: from.description,
  role: from.role,
  goal: from.goal,
  type: from.type,
  model: from.model,
  api_key_id: from.api_key_id,
  instruction: from.instruction,
  agent_card_url: from.agent_card_url,
  folder_id: from.folder_id,
  config: from.config,
})

const shownTo = (principal: Principal, agent: AgentRow, definition: Definition): Definition => {
  const whole = shown(definition)
  return mayChange(principal, agent) ? whole : maskAddresses(whole)
}

const shown = (definition: Definition): Definition => ({ ...definitionOf(definition), config: maskSecrets(definition.config) })
