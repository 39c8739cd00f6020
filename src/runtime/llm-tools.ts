import { DomainError } from '~/platform/errors'
import type { Member } from './member'
import type { ToolDeclaration } from './model/types'
import { type AgentTool, type ToolSource, toolError } from './tools/tool'
import type { RunContext } from './types'

/** What an llm agent may do besides talking. */
export interface LlmTools {
  tools: AgentTool[]
  sources: ToolSource[]
  /** Agents that it may ask something; they answer it, not the user. */
  agentTools: Member[]
  /** Agents that it may hand the conversation to. */
  subAgents: Member[]
  /** Looks up what was said in earlier conversations with this contact. */
  memory?: Memory | undefined
  /** Names of tools of any kind that need somebody's consent. */
  requireApproval: readonly string[]
}

export type Memory = (
  query: string,
  where: { runId: string; sessionId: string; signal: AbortSignal },
) => Promise<{ author: string; text: string; at: string }[]>

export interface ToolBox {
  declarations: ToolDeclaration[]
  find(name: string): Callable | undefined
  /** What could not be opened, as it was when the turn began. */
  problems: string[]
  close(): Promise<void>
}

export type Callable =
  | { kind: 'tool'; tool: AgentTool; requiresApproval: boolean }
  | { kind: 'agent'; member: Member; requiresApproval: boolean }
  | { kind: 'transfer' }
  | { kind: 'exit-loop' }

/** Opens what has to be opened; the caller closes it. @throws DomainError `conflict` when two tools have the same name */
export async function openTools(agent: LlmTools, context: RunContext): Promise<ToolBox> {
  const opened = await Promise.all(agent.sources.map(async ({ name, open }) => ({ name, ...(await open(context.signal)) })))
  const close = async () => {
    await Promise.allSettled(opened.map((source) => source.close()))
  }
  try {
    const found = opened.flatMap(({ name, problems }) => problems.map((problem) => `${name}: ${problem}`))
    // Told the same at every execution: the numbering of events hangs on it.
    const problems =
      agent.sources.length === 0
        ? []
        : await context.step({ key: 'tools', kind: 'value', effect: 'read-only', input: agent.sources.length }, async () => found)
    const box = pack(agent, [...agent.tools, ...opened.flatMap(({ tools }) => tools)], context)
    return { ...box, problems, close }
  } catch (error) {
    await close()
    throw error
  }
}

function pack(agent: LlmTools, tools: AgentTool[], context: RunContext): Pick<ToolBox, 'declarations' | 'find'> {
  const { enabledTools, mayEscalate } = context
  const isEnabled = (name: string) => enabledTools === undefined || enabledTools.includes(name)
  const needsConsent = (name: string, itself: boolean | undefined) => itself === true || agent.requireApproval.includes(name)
  const box = new Map<string, { declaration: ToolDeclaration; callable: Callable }>()
  const add = ({ name, description, inputSchema }: ToolDeclaration, callable: Callable) => {
    if (box.has(name)) throw new DomainError('conflict', `Two tools of the agent are named ${name}.`)
    box.set(name, { declaration: { name, description, inputSchema }, callable })
  }
  const all = agent.memory === undefined ? tools : [...tools, memoryTool(agent.memory, context)]
  for (const tool of all)
    if (isEnabled(tool.name)) add(tool, { kind: 'tool', tool, requiresApproval: needsConsent(tool.name, tool.requiresApproval) })
  for (const member of agent.agentTools)
    if (isEnabled(member.name))
      add(
        { name: member.name, description: member.description, inputSchema: REQUEST },
        { kind: 'agent', member, requiresApproval: needsConsent(member.name, member.requiresApproval) },
      )
  if (agent.subAgents.length > 0) add(transferTool(agent.subAgents), { kind: 'transfer' })
  if (mayEscalate) add(EXIT_LOOP, { kind: 'exit-loop' })
  return {
    declarations: [...box.values()].map(({ declaration }) => declaration),
    find: (name) => box.get(name)?.callable,
  }
}

/** Names that no other tool may have. */
export const BUILT_IN_TOOLS = ['transfer_to_agent', 'exit_loop', 'load_memory']

const REQUEST = {
  type: 'object',
  properties: { request: { type: 'string', description: 'What the agent is asked, with all that it needs to know.' } },
  required: ['request'],
}

const transferTool = (subAgents: Member[]): ToolDeclaration => ({
  name: 'transfer_to_agent',
  description: 'Hands the conversation over to another agent, which answers in your place.',
  inputSchema: {
    type: 'object',
    properties: { agent_name: { type: 'string', enum: subAgents.map(({ name }) => name) } },
    required: ['agent_name'],
  },
})

const EXIT_LOOP: ToolDeclaration = {
  name: 'exit_loop',
  description: 'Ends the loop that you are in. Call it when nothing is left to be improved.',
  inputSchema: { type: 'object', properties: {} },
}

const memoryTool = (memory: Memory, { runId, sessionId, signal }: RunContext): AgentTool => ({
  name: 'load_memory',
  description: 'Looks up what was said in earlier conversations with this user.',
  inputSchema: { type: 'object', properties: { query: { type: 'string', description: 'Words to look for.' } }, required: ['query'] },
  effect: 'read-only',
  execute: async ({ query }) =>
    typeof query === 'string' ? { memories: await memory(query, { runId, sessionId, signal }) } : toolError('query: expected a text'),
})

/** What the prompt says about them. */
export function adviceOn({ subAgents, memory }: LlmTools): string {
  const parts = [
    memory === undefined ? [] : ['When the user refers to something earlier that you do not know, look it up with load_memory.'],
    subAgents.length === 0
      ? []
      : ['You may hand over with transfer_to_agent to:', ...subAgents.map(({ name, description }) => `- ${name}: ${description}`)],
  ]
  return parts.flat().join('\n')
}
