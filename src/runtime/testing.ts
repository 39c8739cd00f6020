import { type LlmAgent, llmAgent } from './llm-agent'
import type { Member } from './member'
import type { ModelClient, ModelReply, ModelRequest } from './model/types'
import { RunPaused } from './pause'
import type { AgentTool } from './tools/tool'
import type { Agent, AgentEvent, Decision, RunContext, RunPart, SaidEvent, StepSpec } from './types'

/** The process dies: what is under way is lost, what is journalled stays. */
export class Crash extends Error {
  override name = 'Crash'
}

/** A run without stores: its journal outlives the executions, of which each begins anew, as after the death of a process. */
export interface MemoryRun {
  /** Runs the agent until it ends, pauses (RunPaused) or dies (Crash), once so many further steps have been journalled. */
  execute(agent: Agent, options?: { dieAfterSteps?: number }): Promise<void>
  /** What was said, each event once, in the order in which it came. */
  events: SaidEvent[]
  /** Keys of the steps that were really done, in order; a step done twice stands there twice. */
  performed: string[]
  decisions: Map<string, Decision>
  /** What the clock says. */
  now: number
}

interface Own {
  path: string
  turn: AgentEvent[]
}

export function createMemoryRun(text: string, { history = [] as AgentEvent[], maxSteps = 20, maxFanOut = 64 } = {}): MemoryRun {
  const journal = new Map<string, { input: string; result: unknown }>()
  const run: MemoryRun = { events: [], performed: [], decisions: new Map(), now: 1_700_000_000_000, execute }

  async function execute(agent: Agent, { dieAfterSteps = Number.POSITIVE_INFINITY } = {}) {
    const used = new Set<string>()
    let left = dieAfterSteps
    const step = async <T>(spec: StepSpec, signal: AbortSignal, work: Parameters<RunContext['step']>[1]): Promise<T> => {
      if (used.has(spec.key)) throw new Error(`step ${spec.key} was taken twice`)
      used.add(spec.key)
      signal.throwIfAborted()
      const input = JSON.stringify(spec.input)
      const before = journal.get(spec.key)
      if (before !== undefined) {
        if (before.input !== input) throw new Error(`step ${spec.key} is no longer the same`)
        return before.result as T
      }
      if (left === 0) throw new Crash()
      run.performed.push(spec.key)
      const result = await work({
        idempotencyKey: spec.key,
        signal,
        maxOutputTokens: undefined,
        emit: () => {},
        keep: async (file) => file,
      })
      if (left === 0) throw new Crash()
      left -= 1
      journal.set(spec.key, { input, result: structuredClone(result) })
      return result as T
    }
    const contextOf = (base: Omit<RunContext, 'nested' | 'event' | 'step' | 'sleep' | 'approval'>, own: Own): RunContext => {
      let count = 0
      const context: RunContext = {
        ...base,
        turn: own.turn,
        nested(segment, { alone, isolated, ...change }: RunPart = {}) {
          const path = `${own.path}${segment}/`
          if (alone !== undefined)
            return contextOf({ ...base, input: alone, history: [], mayEscalate: false, enabledTools: undefined }, { path, turn: [] })
          return contextOf({ ...base, ...change }, { path, turn: isolated ? [...own.turn] : own.turn })
        },
        event(event) {
          const said: SaidEvent = { ...event, key: `${own.path}#${count++}`, ...(base.branch === undefined ? {} : { branch: base.branch }) }
          own.turn.push(said)
          return said
        },
        step: (spec, work) => step({ ...spec, key: own.path + spec.key }, base.signal, work),
        async sleep(key, ms) {
          const { until } = await context.step({ key, kind: 'delay', effect: 'read-only', input: { ms } }, async () => ({
            until: run.now + ms,
          }))
          if (until > run.now) throw new RunPaused('delay', new Date(until))
        },
        async approval(key) {
          const decision = run.decisions.get(own.path + key)
          if (decision === undefined) throw new RunPaused('approval', undefined, { step: own.path + key })
          return decision
        },
      }
      return context
    }
    const root = contextOf(
      {
        runId: 'run',
        sessionId: 'user_agent',
        traceId: '0'.repeat(32),
        input: { text, files: [] },
        history,
        turn: [],
        startedAt: new Date(1_700_000_000_000),
        signal: new AbortController().signal,
        limits: { maxSteps, maxFanOut },
        branch: undefined,
        enabledTools: undefined,
        mayEscalate: false,
      },
      { path: '', turn: [] },
    )
    const known = new Set(run.events.map(({ key }) => key))
    for await (const event of agent(root)) if (!known.has(event.key)) run.events.push(structuredClone(event))
  }
  return run
}

/** `author: text`, calls and results in short. */
export const shortly = ({ author, content }: AgentEvent): string =>
  `${author}: ${content.parts
    .map(({ text, function_call: call, function_response: answer }) =>
      call ? `call ${call.name}` : answer ? `${answer.name} -> ${JSON.stringify(answer.response)}` : text,
    )
    .join(' ')}`

export interface ScriptedModel extends ModelClient {
  requests: ModelRequest[]
}

type Reply = string | { call: string; args?: Record<string, unknown> }[]

/** Answers by what it is asked. */
export function scriptedModel(reply: (request: ModelRequest, heard: string) => Reply | Promise<Reply>): ScriptedModel {
  const requests: ModelRequest[] = []
  return {
    requests,
    async generate(request, onDelta) {
      requests.push(structuredClone({ ...request, signal: undefined }) as unknown as ModelRequest)
      const said = await reply(request, heardBy(request))
      request.signal.throwIfAborted()
      if (typeof said === 'string') onDelta({ type: 'text', text: said || '-' })
      const answer: ModelReply = {
        text: typeof said === 'string' ? said : '',
        toolCalls: typeof said === 'string' ? [] : said.map(({ call, args = {} }, index) => ({ callId: `c${index}`, name: call, args })),
        usage: { inputTokens: 1, outputTokens: 1, cachedInputTokens: 0, reasoningTokens: 0 },
        finishReason: typeof said === 'string' ? 'stop' : 'tool-calls',
      }
      return answer
    },
  }
}

/** All that a model is told, in one text. */
export const heardBy = ({ messages }: ModelRequest): string =>
  messages
    .flatMap(({ parts }) =>
      parts.map((part) => (part.type === 'text' ? part.text : part.type === 'tool-result' ? JSON.stringify(part.result) : '')),
    )
    .join('\n')

export const member = (name: string, run: Agent, more: Partial<Member> = {}): Member => ({
  name,
  description: `The agent ${name}`,
  requiresApproval: false,
  run,
  ...more,
})

/** Says its name and what it has heard of this turn so far. */
export const parrot = (name: string, delayMs = 0): Member =>
  member(name, async function* run(context) {
    const heard = context.turn.map(({ author }) => author).join(',')
    const text = await context.step({ key: 'say', kind: 'model', effect: 'read-only', input: {} }, async () => {
      if (delayMs > 0) await Bun.sleep(delayMs)
      return `heard [${heard}]`
    })
    yield context.event({ author: name, content: { role: 'model', parts: [{ text }] } })
  })

export const tool = (name: string, execute: AgentTool['execute'], more: Partial<AgentTool> = {}): AgentTool => ({
  name,
  description: name,
  inputSchema: { type: 'object', properties: {} },
  effect: 'unsafe',
  execute,
  ...more,
})

/** An llm agent with nothing but what is given. */
export const llm = (model: ModelClient, more: Partial<LlmAgent> = {}): Agent =>
  llmAgent(
    {
      name: 'guide',
      model: 'demo/echo',
      instruction: null,
      role: null,
      goal: null,
      tools: [],
      sources: [],
      agentTools: [],
      subAgents: [],
      requireApproval: [],
      ...more,
    },
    { models: model, apiKey: async () => undefined, modelTimeoutMs: 1000 },
  )
