import type { ProviderKeyService } from '~/features/provider-keys/service'
import type { Clock } from '~/platform/clock'
import type { Outbound } from '~/platform/outbound'
import { llmAgent } from '~/runtime/llm-agent'
import type { ModelClient } from '~/runtime/model/types'
import { createHttpTool } from '~/runtime/tools/http-tool'
import type { Agent } from '~/runtime/types'
import { httpToolsOf } from './llm-config'
import type { AgentService } from './service'

export interface RunnableDeps {
  agents: AgentService
  providerKeys: ProviderKeyService
  models: ModelClient
  outbound: Outbound
  clock: Clock
  modelTimeoutMs: number
  toolTimeoutMs: number
  toolResponseBytes: number
}

/** From an agent's definition to the function that runs it. @throws DomainError `not-found` */
export const createAgentLoader =
  ({ agents, providerKeys, models, outbound, clock, modelTimeoutMs, toolTimeoutMs, toolResponseBytes }: RunnableDeps) =>
  async (clientId: string, agentId: string): Promise<Agent> => {
    const { name, model, instruction, role, goal, config, api_key_id } = await agents.find({ clientId, agentId }, agentId)
    const tools = httpToolsOf(config).map((spec) =>
      createHttpTool(spec, { outbound, maxTimeoutMs: toolTimeoutMs, maxBytes: toolResponseBytes, clock }),
    )
    return llmAgent(
      { name, model: model ?? '', instruction, role, goal, tools },
      { models, apiKey: async () => (api_key_id === null ? undefined : providerKeys.reveal(clientId, api_key_id)), modelTimeoutMs },
    )
  }
