import type { FilePart } from './model/types'

/** What an agent says or does, whole: the unit of a session's history. */
export interface AgentEvent {
  /** `user`, or the agent's name. */
  author: string
  content: Content
  actions?: Record<string, unknown>
  branch?: string
}

export interface Content {
  role: 'user' | 'model'
  parts: Part[]
}

/** One of its keys is set. JSON throughout: parts are stored as they are. */
export interface Part {
  text?: string
  inline_data?: { data: string; mime_type: string; metadata?: { filename?: string } }
  /** A file that is kept elsewhere, by its id; `file_uri` is where the API has it. */
  file_data?: { id: string; file_uri: string; mime_type: string; display_name: string }
  function_call?: { id: string; name: string; args: Record<string, unknown> }
  function_response?: { id: string; name: string; response: Record<string, unknown> }
  /** What a model ran on its provider's side, and what came of it. */
  executable_code?: { language: string; code: string }
  code_execution_result?: { outcome: string; output: string }
  /** What the model's provider wants back with the next call; only its own model reads it. */
  provider_state?: unknown
}

/** What the end user sent. */
export interface RunInput {
  text: string
  files: FilePart[]
  /** What the sender calls it, where messages have names. */
  messageId?: string
}

/** How the world may have changed when a step's outcome is unknown: `unsafe` steps are never repeated by themselves. */
export type Effect = 'read-only' | 'idempotent' | 'unsafe'
export type StepKind = 'model' | 'tool' | 'remote' | 'delay' | 'value'

export interface StepSpec {
  /** Unique in the run and the same whenever the run is executed again. */
  key: string
  kind: StepKind
  effect: Effect
  /** What the step depends on; a different input under the same key means that the run is not deterministic, and fails it. */
  input: unknown
  /** A call of a model: what it may cost at most is set aside before, what it did cost is counted after. Its result holds the `usage`. */
  model?: { id: string; mostInputTokens(): number; mostOutputTokens: number | undefined }
}

export interface Step {
  /** The same at every attempt: for the outside world to tell a repetition. */
  idempotencyKey: string
  signal: AbortSignal
  /** Of a model's call: no more than this was set aside for. */
  maxOutputTokens: number | undefined
  /** Shows a piece of text to whoever watches. It is not history: that is what the agent yields. */
  emit(delta: { type: 'text' | 'reasoning'; text: string }): void
  /** Makes a file one of the conversation. @throws DomainError when it cannot be kept */
  keep(file: FilePart): Promise<FilePart>
}

/** An event of this turn. Its key is the same whenever the run is executed again: by it a successor knows what was said already. */
export interface SaidEvent extends AgentEvent {
  key: string
}

/** Bounds of one run; whoever passes one fails it. */
export interface RunLimits {
  /** Model calls of one agent's turn. */
  maxSteps: number
  /** Agents, tools or branches at the same time, of one parent. */
  maxFanOut: number
}

/** How a part of a run differs from the whole. */
export interface RunPart {
  /** Hears what was said before it began, and is not heard by those beside it. */
  isolated?: boolean
  branch?: string
  /** A conversation of its own: knows nothing but this. Nobody sees its pieces of text. */
  alone?: RunInput
  signal?: AbortSignal
  enabledTools?: readonly string[] | undefined
  mayEscalate?: boolean
}

/** What somebody decided about something that an agent wants to do. */
export type Decision = { approved: true; args: Record<string, unknown> } | { approved: false; reason: string }

/** What an agent may know and do: no HTTP, no SQL. */
export interface RunContext {
  runId: string
  sessionId: string
  /** Of the request that the run began with. */
  traceId: string
  input: RunInput
  /** The session before this turn, oldest first. */
  history: AgentEvent[]
  /** What was said in this turn so far, as far as this agent may hear it. */
  turn: AgentEvent[]
  /** When the turn began: the same at every execution, unlike the clock. */
  startedAt: Date
  /** Aborts when the run is cancelled, out of time or taken over; for a part of a run also when that part is. */
  signal: AbortSignal
  limits: RunLimits
  /** Of the parallel branch that this is a part of. */
  branch: string | undefined
  /** The only tools that the agent may use, if it may not use all it has. */
  enabledTools: readonly string[] | undefined
  /** Within a loop, which an agent may end. */
  mayEscalate: boolean
  /**
   * The same for a part of the run. `segment` is unique among the parts of this context and the same at every execution: it begins the keys of the
   * part's steps and events.
   */
  nested(segment: string, part?: RunPart): RunContext
  /** Makes an event of this turn and lets those who follow hear it. Yield it at once. */
  event(event: AgentEvent): SaidEvent
  /**
   * Does `work` once: its result is committed before the run goes on, and whoever executes the run after a crash gets it back from the journal.
   * A step that a crash left open is repeated if it is read-only or idempotent; else the run waits for somebody to say what happened.
   */
  step<T>(spec: StepSpec, work: (step: Step) => Promise<T>): Promise<T>
  /** Returns when the time has come. A run that has nothing else to do meanwhile is held by no process. */
  sleep(key: string, ms: number): Promise<void>
  /** Asks somebody whether this may be done, and waits, held by no process, until that is decided or too late. */
  approval(key: string, wanted: { tool: string; agent: string; args: Record<string, unknown> }): Promise<Decision>
}

/** An agent is a function from a context to a stream of events. Kinds compose by `yield*` and `merge`. */
export type Agent = (context: RunContext) => AsyncGenerator<SaidEvent, void>
