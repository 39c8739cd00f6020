import { DomainError } from '~/platform/errors'
import { callTools } from './call-tools'
import { artifactDelta, filePart, replyParts, toBeAnswered, toMessages, userEvent, wellFormed } from './conversation'
import { type Persona, systemPrompt } from './instruction'
import { adviceOn, type LlmTools, openTools, type ToolBox } from './llm-tools'
import { toldApart } from './member'
import type { FilePart, ModelClient, ModelMessage, ModelReply } from './model/types'
import { jsonWithoutFiles } from './model/without-files'
import { adviceOnSchema, checkOutput, type OutputSchema } from './structured-output'
import type { KeepFile } from './tools/tool'
import type { Agent, AgentEvent, Part, RunContext, SaidEvent } from './types'

export interface LlmAgent extends Persona, LlmTools {
  name: string
  model: string
  /** What its last word must be. */
  outputSchema?: OutputSchema | undefined
  maxOutputTokens?: number | undefined
  temperature?: number | undefined
}

export interface LlmDeps {
  models: ModelClient
  /** The key for one call; asked for anew each time. Undefined leaves it to the operator's. */
  apiKey(): Promise<string | undefined>
  modelTimeoutMs: number
}

/** Asks the model, does what it asks for, and asks again until it has answered. */
export function llmAgent(definition: LlmAgent, deps: LlmDeps): Agent {
  const agent = { ...definition, subAgents: toldApart(definition.subAgents) }
  return async function* run(context) {
    const tools = await openTools(agent, context)
    try {
      const { problems } = tools
      if (problems.length > 0)
        yield context.event({ ...said(agent, [{ text: problems.join('\n') }]), actions: { notice: { unavailable_tools: problems } } })
      yield* converse(agent, deps, { context, tools })
    } finally {
      await tools.close()
    }
  }
}

interface Talk {
  context: RunContext
  tools: ToolBox
}

async function* converse(agent: LlmAgent, deps: LlmDeps, talk: Talk): AsyncGenerator<SaidEvent, void> {
  const { context, tools } = talk
  const asked: AgentEvent = { author: 'user', ...userEvent(context.input) }
  const messages = toBeAnswered(wellFormed(toMessages([...context.history, asked, ...context.turn], agent.name)))
  for (let turn = 1; turn <= context.limits.maxSteps; turn++) {
    const reply = await askModel(agent, deps, { ...talk, key: `model:${turn}`, messages })
    refuseSilence(reply)
    if (reply.toolCalls.length === 0) return yield* answer(agent, deps, { ...talk, turn, messages, reply })
    const call = context.event(saidReply(agent, reply))
    yield call
    const { answers, files, transfer, escalate } = await callTools(agent, { context, tools, turn, calls: reply.toolCalls })
    const actions = {
      ...(transfer && { transfer_to_agent: transfer.name }),
      ...(escalate && { escalate: true }),
      ...artifactDelta(files),
    }
    const response = context.event({
      ...said(agent, [...answers, ...files.map(filePart)]),
      ...(Object.keys(actions).length > 0 ? { actions } : {}),
    })
    yield response
    if (transfer !== undefined) return yield* transfer.run(context.nested(`transfer:${turn}`))
    if (escalate) return
    messages.push(...toMessages([call, response], agent.name))
  }
  throw new DomainError('limit-exceeded', `The agent ${agent.name} did not come to an end within ${context.limits.maxSteps} steps.`)
}

/** The last word; where it has to fit a schema and does not, the model gets one more try. */
async function* answer(
  agent: LlmAgent,
  deps: LlmDeps,
  { turn, messages, reply, ...talk }: Talk & { turn: number; messages: ModelMessage[]; reply: ModelReply },
): AsyncGenerator<SaidEvent, void> {
  const { context } = talk
  if (agent.outputSchema === undefined) return yield context.event(saidReply(agent, reply))
  let checked = checkOutput(agent.outputSchema, reply.text)
  if ('fault' in checked) {
    const told = `Your answer does not fit the schema: ${checked.fault}. Answer again, with nothing but the JSON.`
    const again: ModelMessage[] = [
      ...messages,
      { role: 'assistant', parts: [{ type: 'text', text: reply.text === '' ? '(nothing)' : reply.text }] },
      { role: 'user', parts: [{ type: 'text', text: told }] },
    ]
    const second = await askModel(agent, deps, { ...talk, key: `model:${turn}:repair`, messages: again })
    checked = checkOutput(agent.outputSchema, second.text)
  }
  if ('fault' in checked) throw new DomainError('upstream-error', `The answer of the model does not fit its schema: ${checked.fault}`)
  yield context.event(said(agent, [{ text: JSON.stringify(checked.value) }]))
}

const said = ({ name }: LlmAgent, parts: Part[]): AgentEvent => ({ author: name, content: { role: 'model', parts } })

const saidReply = (agent: LlmAgent, reply: ModelReply): AgentEvent => {
  const { files = [], finishReason } = reply
  const actions = { ...artifactDelta(files), ...(CUT_OFF.has(finishReason) && { finish_reason: finishReason }) }
  const event = said(agent, [...replyParts(reply), ...files.map(filePart)])
  return Object.keys(actions).length === 0 ? event : { ...event, actions }
}

/** Ends that are none: what was said before them is shown and marked as incomplete; without a word they are a failure. */
const CUT_OFF = new Map([
  ['length', 'The model used up the tokens of its answer before it had said anything.'],
  ['content-filter', 'The model provider withheld the whole answer (content filter).'],
  ['error', 'The model provider ended the answer with an error before anything was said.'],
])

/** @throws DomainError `upstream-error` */
function refuseSilence({ text, files = [], code = [], toolCalls, finishReason }: ModelReply) {
  const detail = CUT_OFF.get(finishReason)
  if (detail !== undefined && text === '' && files.length + code.length + toolCalls.length === 0)
    throw new DomainError('upstream-error', detail)
}

/** The reply with its files as files of the conversation; what cannot be kept is said in its text. */
async function keepFiles({ files = [], ...reply }: ModelReply, keep: KeepFile): Promise<ModelReply> {
  const kept: FilePart[] = []
  let { text } = reply
  for (const file of files) {
    try {
      kept.push(await keep(file))
    } catch (error) {
      if (!(error instanceof DomainError)) throw error
      text += `\n[A file of type ${file.mediaType} could not be kept: ${error.message}]`
    }
  }
  return kept.length === 0 ? { ...reply, text } : { ...reply, text, files: kept }
}

/** A token has at least one byte. */
function mostTokens(told: unknown): number {
  const { json, fileBytes } = jsonWithoutFiles(told)
  return Buffer.byteLength(json) + fileBytes
}

function askModel(
  agent: LlmAgent,
  { models, apiKey, modelTimeoutMs }: LlmDeps,
  { context, tools: { declarations }, key, messages }: Talk & { key: string; messages: ModelMessage[] },
): Promise<ModelReply> {
  const { model, temperature, outputSchema } = agent
  const advice = [adviceOn(agent), outputSchema === undefined ? '' : adviceOnSchema(outputSchema)].filter((text) => text !== '')
  const system = [systemPrompt(agent, context.startedAt) ?? '', ...advice].filter((text) => text !== '').join('\n\n') || undefined
  // Not every provider takes both at once; the prompt asks for the schema anyhow.
  const outputJson = outputSchema !== undefined && declarations.length === 0 ? outputSchema.schema : undefined
  const cost = {
    id: model,
    mostInputTokens: () => mostTokens([system, messages, declarations]),
    mostOutputTokens: agent.maxOutputTokens,
  }
  return context.step(
    { key, kind: 'model', effect: 'read-only', input: { model, key, messages: messages.length }, model: cost },
    async ({ signal, emit, maxOutputTokens, keep }) => {
      const reply = await models.generate(
        {
          model,
          apiKey: await apiKey(),
          system,
          messages,
          tools: declarations,
          signal,
          timeoutMs: modelTimeoutMs,
          maxOutputTokens,
          temperature,
          outputSchema: outputJson,
        },
        emit,
      )
      return keepFiles(reply, keep)
    },
  )
}
