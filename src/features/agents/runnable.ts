import type { ProviderKeyService } from '~/features/provider-keys/service'
import type { Clock } from '~/platform/clock'
import { DomainError } from '~/platform/errors'
import type { Log } from '~/platform/log'
import type { Outbound } from '~/platform/outbound'
import { patiently } from '~/platform/patience'
import type { OpenRemoteAgent } from '~/runtime/a2a/types'
import { llmAgent } from '~/runtime/llm-agent'
import { BUILT_IN_TOOLS, type Memory } from '~/runtime/llm-tools'
import { loopAgent } from '~/runtime/loop-agent'
import type { CreateMcpSources, McpSelection } from '~/runtime/mcp/types'
import type { Member } from '~/runtime/member'
import type { ModelClient } from '~/runtime/model/types'
import { parallelAgent } from '~/runtime/parallel-agent'
import { remoteAgent } from '~/runtime/remote-agent'
import { sequentialAgent } from '~/runtime/sequential-agent'
import { compileOutputSchema } from '~/runtime/structured-output'
import { taskAgent } from '~/runtime/task-agent'
import { createHttpTool } from '~/runtime/tools/http-tool'
import type { AgentTool } from '~/runtime/tools/tool'
import type { Agent, RunContext } from '~/runtime/types'
import { workflowAgent } from '~/runtime/workflow/workflow-agent'
import { httpToolsOf } from './llm-config'
import type { AgentRow } from './queries'
import { type RunnableConfig, readRunnableConfig } from './runnable-config'
import type { AgentService } from './service'

export interface RunnableDeps {
  agents: AgentService
  providerKeys: ProviderKeyService
  models: ModelClient
  outbound: Outbound
  clock: Clock
  log: Log
  modelTimeoutMs: number
  toolTimeoutMs: number
  toolResponseBytes: number
  maxDepth: number
  createMcpSources: CreateMcpSources
  /** Without it an a2a agent fails. */
  openRemote?: OpenRemoteAgent
  memoryOf(agent: { clientId: string; agentId: string }): Memory
}

/** Where an agent stands in a run: of which client, and how deep within other agents. */
interface Place {
  clientId: string
  depth: number
}

const DEFAULT_ITERATIONS = 5
const MAX_ITERATIONS = 100
const DEFAULT_TIMEOUT_SECONDS = 300

/** From an agent's definition to the function that runs it. Its parts are looked up when their turn comes. @throws DomainError `not-found` */
export const createAgentLoader =
  (deps: RunnableDeps) =>
  async (clientId: string, agentId: string): Promise<Agent> =>
    (await loadMember(deps, { clientId, depth: 1 }, agentId)).run

async function loadMember(deps: RunnableDeps, place: Place, agentId: string): Promise<Member> {
  const row = await deps.agents.load({ clientId: place.clientId, agentId: null }, agentId)
  const config = readRunnableConfig(row.config)
  return {
    name: toolNameOf(row.name),
    description: row.description ?? '',
    requiresApproval: config.require_approval === true,
    run: (context) => runRow(deps, place, { row, config, context }),
  }
}

interface Running {
  row: AgentRow
  config: RunnableConfig
  context: RunContext
}

async function* runRow(deps: RunnableDeps, { clientId, depth }: Place, running: Running) {
  if (depth > deps.maxDepth)
    throw new DomainError('limit-exceeded', `Agents are nested more than ${deps.maxDepth} deep; the last one was ${running.row.name}.`)
  const load = (agentId: string) => onceBack(deps, running.context, () => loadMember(deps, { clientId, depth: depth + 1 }, agentId))
  const agent = await build(deps, running, load)
  yield* agent(running.context)
}

/** A database that is away for a moment does not end a run that only has something to look up. */
const onceBack = <T>({ clock, log }: RunnableDeps, { runId, signal }: RunContext, work: () => Promise<T>): Promise<T> =>
  patiently(work, { clock, signal, onFirst: (error) => log.warn('the database is away, a run waits', { run_id: runId, error }) })

/** The reference's null is no bound; ours is the most that can be asked for. */
const iterationsOf = ({ max_iterations = DEFAULT_ITERATIONS }: RunnableConfig) => Math.min(max_iterations ?? MAX_ITERATIONS, MAX_ITERATIONS)

type Load = (agentId: string) => Promise<Member>

async function build(deps: RunnableDeps, { row, config, context }: Running, load: Load): Promise<Agent> {
  const { name } = row
  const all = (ids: string[] | null | undefined) => Promise.all((ids ?? []).map(load))
  const timeoutSeconds = config.timeout ?? DEFAULT_TIMEOUT_SECONDS
  switch (row.type) {
    case 'llm':
      return buildLlm(deps, { row, config, context }, all)
    case 'sequential':
      return sequentialAgent(await all(config.sub_agents))
    case 'parallel':
      return parallelAgent(name, await all(config.sub_agents))
    case 'loop':
      return loopAgent(await all(config.sub_agents), iterationsOf(config))
    case 'task': {
      const tasks = (config.tasks ?? []).map(async ({ agent_id, description, expected_output, enabled_tools }) => ({
        member: await load(agent_id),
        description: description ?? '',
        expectedOutput: expected_output ?? '',
        enabledTools: enabled_tools ?? [],
      }))
      return taskAgent(name, await Promise.all(tasks), await all(config.sub_agents))
    }
    case 'workflow':
      return workflowAgent(
        { name, workflow: config.workflow, timeoutSeconds, subAgents: await all(config.sub_agents) },
        { loadMember: load },
      )
    case 'a2a': {
      if (deps.openRemote === undefined) throw new DomainError('upstream-error', 'This server does not speak to remote agents.')
      const spec = {
        name,
        cardUrl: row.agent_card_url ?? '',
        config: row.config,
        timeoutMs: timeoutSeconds * 1000,
        traceId: context.traceId,
      }
      return remoteAgent(name, deps.openRemote(spec), await all(config.sub_agents))
    }
  }
}

async function buildLlm(
  deps: RunnableDeps,
  { row, config, context }: Running,
  all: (ids: string[] | null | undefined) => Promise<Member[]>,
): Promise<Agent> {
  const { id: agentId, client_id: clientId, name, model, instruction, role, goal, api_key_id } = row
  const owner = { clientId, agentId }
  const [agentTools, subAgents] = await Promise.all([all(config.agent_tools), all(config.sub_agents)])
  const tools = toolsOf(deps, row)
  const taken = [...BUILT_IN_TOOLS, ...[...tools, ...agentTools].map((tool) => tool.name)]
  return llmAgent(
    {
      name,
      model: model ?? '',
      instruction,
      role,
      goal,
      tools,
      // What the create rules let pass.
      sources: deps.createMcpSources(owner, row.config as McpSelection, taken),
      agentTools,
      subAgents,
      memory: config.load_memory ? deps.memoryOf(owner) : undefined,
      requireApproval: Array.isArray(config.require_approval) ? config.require_approval : [],
      outputSchema: config.output_schema ? compileOutputSchema(config.output_schema) : undefined,
      maxOutputTokens: config.max_output_tokens ?? undefined,
      temperature: config.temperature ?? undefined,
    },
    {
      models: deps.models,
      apiKey: async () => (api_key_id === null ? undefined : onceBack(deps, context, () => deps.providerKeys.reveal(clientId, api_key_id))),
      modelTimeoutMs: deps.modelTimeoutMs,
    },
  )
}

const toolsOf = ({ outbound, clock, toolTimeoutMs, toolResponseBytes }: RunnableDeps, { config }: AgentRow): AgentTool[] =>
  httpToolsOf(config).map((spec) => createHttpTool(spec, { outbound, maxTimeoutMs: toolTimeoutMs, maxBytes: toolResponseBytes, clock }))

/** As every provider takes it; remote agents are named as their cards like. */
const toolNameOf = (name: string) => name.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64)
