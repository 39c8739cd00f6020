import { DomainError } from '~/platform/errors'
import { textOf } from './conversation'
import type { LlmTools, ToolBox } from './llm-tools'
import type { Member } from './member'
import type { FilePart, ToolCall } from './model/types'
import { allSettled } from './pause'
import { type AgentTool, toolError } from './tools/tool'
import type { Part, RunContext } from './types'

interface Calling {
  context: RunContext
  tools: ToolBox
  turn: number
}

export interface CallOutcome {
  answers: Part[]
  /** What the tools brought along. */
  files: FilePart[]
  /** Who goes on with the conversation. */
  transfer: Member | undefined
  /** The loop around it ends. */
  escalate: boolean
}

/** Does what the model asked for, side by side. A tool's failure is an answer that the model can react to; a run that was cancelled is not. */
export async function callTools(
  agent: LlmTools & { name: string },
  { calls, ...calling }: Calling & { calls: ToolCall[] },
): Promise<CallOutcome> {
  const { maxFanOut } = calling.context.limits
  const answers: Part[] = []
  const files: FilePart[] = []
  for (let first = 0; first < calls.length; first += maxFanOut) {
    const some = calls.slice(first, first + maxFanOut)
    const results = await allSettled(some.map((call, index) => callOne(agent, calling, { call, index: first + index })))
    for (const [index, { response, files: brought = [] }] of results.entries()) {
      const { callId, name } = some[index] as ToolCall
      answers.push({ function_response: { id: callId, name, response } })
      files.push(...brought)
    }
  }
  const wanted = calls.find(({ name }) => calling.tools.find(name)?.kind === 'transfer')
  return {
    answers,
    files,
    transfer: wanted === undefined ? undefined : agent.subAgents.find(({ name }) => name === wanted.args.agent_name),
    escalate: calls.some(({ name }) => calling.tools.find(name)?.kind === 'exit-loop'),
  }
}

interface Answered {
  response: Record<string, unknown>
  files?: FilePart[] | undefined
}

async function callOne(
  agent: LlmTools & { name: string },
  calling: Calling,
  { call, index }: { call: ToolCall; index: number },
): Promise<Answered> {
  const { context, tools, turn } = calling
  const found = tools.find(call.name)
  if (found?.kind === 'exit-loop') return { response: { result: 'The loop ends.' } }
  if (found?.kind === 'transfer') {
    const { agent_name } = call.args
    if (agent.subAgents.some(({ name }) => name === agent_name)) return { response: { result: `${String(agent_name)} goes on.` } }
    return { response: { ...toolError('There is no agent of that name to hand over to.') } }
  }
  const key = `tool:${turn}:${index}:${storableName(call.name)}`
  let { args } = call
  if (found?.requiresApproval) {
    const decision = await context.approval(key, { tool: call.name, agent: agent.name, args })
    if (!decision.approved) return { response: { error: 'approval_rejected', message: decision.reason } }
    args = decision.args
  }
  if (found?.kind === 'agent') return askAgent(found.member, context, { key, args, segment: `tool:${turn}.${index}` })
  return execute(found?.tool, context, { key, args, call })
}

/** A model may call what no tool is named; a key is a text of the database, and indexed. Names that tools can have stay as they are. */
const storableName = (name: string) => name.replace(/[\p{Cc}\p{Cs}]/gu, '_').slice(0, MAX_KEYED_NAME)
const MAX_KEYED_NAME = 128

/** Also for a tool that is gone: a call that was made before it went has its result in the journal. */
async function execute(
  tool: AgentTool | undefined,
  context: RunContext,
  { key, args, call }: { key: string; args: Record<string, unknown>; call: ToolCall },
): Promise<Answered> {
  const { result, files } = await context.step<{ result: unknown; files?: FilePart[] }>(
    { key, kind: 'tool', effect: tool?.effect ?? 'read-only', input: { name: call.name, args } },
    async ({ signal, idempotencyKey, ...step }) => {
      const files: FilePart[] = []
      const keep = async (file: FilePart) => {
        const kept = await step.keep(file)
        files.push(kept)
        return kept
      }
      if (tool === undefined) return { result: { error: 'unknown_tool', message: `There is no tool named ${call.name}.` } }
      try {
        const result = await tool.execute(args, { callId: call.callId, idempotencyKey, signal, keep })
        return files.length === 0 ? { result } : { result, files }
      } catch (error) {
        return { result: failureOf(error, signal) }
      }
    },
  )
  return { response: asObject(result), files }
}

/** Its steps are journalled one by one, and its answer as a step around them: read-only by itself, for what it does has steps of its own. */
async function askAgent(
  member: Member,
  context: RunContext,
  { key, args, segment }: { key: string; args: Record<string, unknown>; segment: string },
): Promise<Answered> {
  const text = typeof args.request === 'string' ? args.request : JSON.stringify(args)
  const { result } = await context.step<{ result: unknown }>(
    { key, kind: 'tool', effect: 'read-only', input: { name: member.name, args } },
    async ({ signal }) => {
      try {
        let answer = ''
        for await (const event of member.run(context.nested(segment, { alone: { text, files: [] } }))) answer = textOf(event) || answer
        return { result: answer }
      } catch (error) {
        return { result: failureOf(error, signal) }
      }
    },
  )
  return { response: asObject(result) }
}

function failureOf(error: unknown, signal: AbortSignal) {
  if (signal.aborted || !(error instanceof DomainError)) throw error
  return toolError(error.message, error.problem)
}

const asObject = (value: unknown): Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Record<string, unknown>) : { result: value }
