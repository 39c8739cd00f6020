import { DomainError } from '~/platform/errors'
import { inputParts, replyParts, toMessages } from './conversation'
import { type Persona, systemPrompt } from './instruction'
import type { ModelClient, ModelMessage, ModelReply, ToolCall } from './model/types'
import type { AgentTool } from './tools/tool'
import type { Agent, AgentEvent, Part, RunContext } from './types'

export interface LlmAgent extends Persona {
  name: string
  model: string
  tools: AgentTool[]
}

export interface LlmDeps {
  models: ModelClient
  /** The key for one call; asked for anew each time. Undefined leaves it to the operator's. */
  apiKey(): Promise<string | undefined>
  modelTimeoutMs: number
}

/** Asks the model, does what it asks for, and asks again until it has answered. */
export function llmAgent(agent: LlmAgent, deps: LlmDeps): Agent {
  return async function* run(context) {
    const messages: ModelMessage[] = [
      ...toMessages(context.history, agent.name),
      { role: 'user', parts: toUserParts(inputParts(context.input)) },
    ]
    for (let turn = 1; turn <= context.maxSteps; turn++) {
      const reply = await askModel(agent, deps, context, { turn, messages })
      yield said(agent, replyParts(reply))
      if (reply.toolCalls.length === 0) return
      const answers = await Promise.all(reply.toolCalls.map((call, index) => callTool(agent, context, { turn, index, call })))
      yield said(agent, answers)
      messages.push(...toMessages([said(agent, replyParts(reply)), said(agent, answers)], agent.name))
    }
    throw new DomainError('upstream-error', `The agent did not come to an end within ${context.maxSteps} steps.`)
  }
}

const said = (agent: LlmAgent, parts: Part[]): AgentEvent => ({ author: agent.name, content: { role: 'model', parts } })

const toUserParts = (parts: Part[]) =>
  toMessages([{ author: 'user', content: { role: 'user', parts } }], '').flatMap((message) =>
    message.role === 'user' ? message.parts : [],
  )

function askModel(
  agent: LlmAgent,
  { models, apiKey, modelTimeoutMs }: LlmDeps,
  context: RunContext,
  { turn, messages }: { turn: number; messages: ModelMessage[] },
): Promise<ModelReply> {
  const tools = agent.tools.map(({ name, description, inputSchema }) => ({ name, description, inputSchema }))
  const system = systemPrompt(agent, context.startedAt)
  return context.step(
    { key: `model:${turn}`, kind: 'model', effect: 'read-only', input: { model: agent.model, turn, messages: messages.length } },
    async (step) =>
      models.generate(
        { model: agent.model, apiKey: await apiKey(), system, messages, tools, signal: step.signal, timeoutMs: modelTimeoutMs },
        step.emit,
      ),
  )
}

/** A tool's failure is an answer that the model can react to; a run that was cancelled is not. */
async function callTool(
  agent: LlmAgent,
  context: RunContext,
  { turn, index, call }: { turn: number; index: number; call: ToolCall },
): Promise<Part> {
  const tool = agent.tools.find(({ name }) => name === call.name)
  const respond = (response: Record<string, unknown>): Part => ({ function_response: { id: call.callId, name: call.name, response } })
  if (tool === undefined) return respond({ error: 'unknown_tool', message: `There is no tool named ${call.name}.` })
  const key = `tool:${turn}:${index}:${call.name}`
  const result = await context.step(
    { key, kind: 'tool', effect: tool.effect, input: { name: call.name, args: call.args } },
    async ({ signal, idempotencyKey }) => {
      try {
        return { result: await tool.execute(call.args, { callId: call.callId, idempotencyKey, signal }) }
      } catch (error) {
        if (signal.aborted) throw error
        if (!(error instanceof DomainError)) throw error
        return { result: { error: error.problem, message: error.message } }
      }
    },
  )
  return respond(asObject(result.result))
}

const asObject = (value: unknown): Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Record<string, unknown>) : { result: value }
