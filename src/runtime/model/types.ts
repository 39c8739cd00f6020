/** One call of a model, in words that belong to no provider. Everything here but the request's signal is plain JSON: it is journalled. */
export interface ModelClient {
  /**
   * One model call: deltas as they come, the whole reply at the end. It runs no tools; calls come back as data.
   *
   * Rejects with the signal's own reason once that aborts, otherwise with a `DomainError`: `upstream-timeout` at the deadline, `rate-limited` if
   * the provider still limits us after the retries, else `upstream-error`. No delta follows a rejection. What `onDelta` throws ends the call.
   */
  generate(request: ModelRequest, onDelta: (delta: ModelDelta) => void): Promise<ModelReply>
}

export interface ModelRequest {
  /** `provider/model`, as LiteLLM writes it: `openai/gpt-4o`. */
  model: string
  /** The tenant's key. Absent or empty: the operator's, where there is one. */
  apiKey: string | undefined
  system: string | undefined
  messages: ModelMessage[]
  tools: ToolDeclaration[]
  /** Aborting it closes the connection to the provider. */
  signal: AbortSignal
  /** For the whole call, retries and the waits between them included. */
  timeoutMs: number
  maxOutputTokens?: number | undefined
  temperature?: number | undefined
  /** A JSON Schema that the text shall fit, where the provider can be held to it. */
  outputSchema?: object | undefined
}

export interface ToolDeclaration {
  name: string
  description: string
  /** A JSON Schema of type `object`. */
  inputSchema: object
}

export type ModelMessage = UserMessage | AssistantMessage | ToolMessage

export interface UserMessage {
  role: 'user'
  parts: Array<{ type: 'text'; text: string } | FilePart>
}

export interface FilePart {
  type: 'file'
  mediaType: string
  /** Base64. */
  data: string
  filename?: string | undefined
  /** Where its bytes are kept: then `data` is empty until they are read. */
  kept?: { id: string; uri: string; version: number } | undefined
}

export interface AssistantMessage {
  role: 'assistant'
  parts: Array<{ type: 'text'; text: string } | ({ type: 'tool-call' } & ToolCall)>
  /** The `providerState` of the reply that this message repeats, unchanged. Only its own model reads it; then it stands in for `parts`. */
  providerState?: unknown
}

export interface ToolMessage {
  role: 'tool'
  parts: Array<{ type: 'tool-result'; callId: string; name: string; result: unknown; isError?: boolean | undefined }>
}

export interface ToolCall {
  /** The provider's name for this call; unique within one reply, not across replies. */
  callId: string
  name: string
  args: Record<string, unknown>
}

/** Never empty. Reasoning is for watching; it is no part of the reply's text. */
export type ModelDelta = { type: 'text'; text: string } | { type: 'reasoning'; text: string }

export type CodePart =
  | { executable_code: { language: string; code: string } }
  | { code_execution_result: { outcome: string; output: string } }

export interface ModelReply {
  text: string
  /** What it made besides. */
  files?: FilePart[]
  /** What it ran on its provider's side, in order, and what came of it. Nobody is to answer that. */
  code?: CodePart[]
  toolCalls: ToolCall[]
  /** Zero where the provider says nothing. `inputTokens` includes the cached, `outputTokens` the reasoning ones. */
  usage: { inputTokens: number; outputTokens: number; cachedInputTokens: number; reasoningTokens: number }
  /** `stop`, `tool-calls`, `length`, `content-filter`, `error` or `other`. */
  finishReason: string
  /**
   * JSON that the provider wants back with the tool results: reasoning and its signatures (Anthropic), thought signatures (Gemini), reasoning
   * text (DeepSeek). Absent where nothing is wanted. Belongs into the `providerState` of the assistant message.
   */
  providerState?: unknown
}
