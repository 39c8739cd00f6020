import type { FilePart } from '../model/types'

/** Something that a model may call. */
export interface AgentTool {
  /** What the model calls it: 1 to 64 of `[A-Za-z0-9_-]`, as every provider takes it. */
  name: string
  description: string
  /** A JSON Schema of type `object`. It holds no secret: it is sent to the model. */
  inputSchema: object
  /** What a second execution would do. An `unsafe` call whose outcome is unknown is never repeated without being asked. */
  effect: 'read-only' | 'idempotent' | 'unsafe'
  /** Somebody has to allow each call. */
  requiresApproval?: boolean
  /**
   * Answers JSON. A failure that the model can react to is a `ToolError`, not a rejection: arguments that do not fit, a remote side that fails.
   * Rejects with the signal's reason once that aborts, and for nothing else.
   */
  execute(args: Record<string, unknown>, call: ToolExecution): Promise<unknown>
}

export interface ToolExecution {
  callId: string
  /** The same for every attempt at this call, in whichever process. */
  idempotencyKey: string
  signal: AbortSignal
  /** Where the run has a place for what the tool brings; else files are only named. */
  keep?: KeepFile
}

/** Makes a file one of the conversation, shown with the tool's answer. @throws DomainError when it cannot be kept */
export type KeepFile = (file: FilePart) => Promise<FilePart>

export interface ToolError {
  error: 'tool_execution_error'
  message: string
  /** Where the failure has one: `url-not-allowed`, `upstream-timeout`, … */
  problem?: string
}

export const toolError = (message: string, problem?: string): ToolError => ({
  error: 'tool_execution_error',
  message,
  ...(problem === undefined ? {} : { problem }),
})

/** Tools that somebody else offers, such as an MCP server: opened when the agent's turn begins, closed when it ends, however it ends. */
export interface ToolSource {
  /** For events and logs. */
  name: string
  /** What cannot be reached costs the agent its tools, not the run: it is told in `problems`, not thrown. */
  open(signal: AbortSignal): Promise<OpenTools>
}

export interface OpenTools {
  tools: AgentTool[]
  problems: string[]
  close(): Promise<void>
}
