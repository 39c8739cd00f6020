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
  function_call?: { id: string; name: string; args: Record<string, unknown> }
  function_response?: { id: string; name: string; response: Record<string, unknown> }
  /** What the model's provider wants back with the next call; only its own model reads it. */
  provider_state?: unknown
}

/** What the end user sent. */
export interface RunInput {
  text: string
  files: FilePart[]
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
}

export interface Step {
  /** The same at every attempt: for the outside world to tell a repetition. */
  idempotencyKey: string
  signal: AbortSignal
  /** Shows a piece of text to whoever watches. It is not history: that is what the agent yields. */
  emit(delta: { type: 'text' | 'reasoning'; text: string }): void
}

/** What an agent may know and do: no HTTP, no SQL. */
export interface RunContext {
  runId: string
  input: RunInput
  /** The session before this turn, oldest first. */
  history: AgentEvent[]
  /** When the turn began: the same at every execution, unlike the clock. */
  startedAt: Date
  /** Aborts when the run is cancelled, out of time or taken over. */
  signal: AbortSignal
  maxSteps: number
  /**
   * Does `work` once: its result is committed before the run goes on, and whoever executes the run after a crash gets it back from the journal.
   * A step that a crash left open is repeated if it is read-only or idempotent; else the run waits for somebody to say what happened.
   */
  step<T>(spec: StepSpec, work: (step: Step) => Promise<T>): Promise<T>
}

/** An agent is a function from a context to a stream of events. Kinds compose by `yield*`. */
export type Agent = (context: RunContext) => AsyncGenerator<AgentEvent, void>
