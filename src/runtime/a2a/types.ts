import type { Effect, Part, RunInput } from '../types'

/** An agent on another server, spoken to over A2A in whichever dialect its card names. */
export interface RemoteAgent {
  /** What a second sending of the same message would do: `idempotent` where the remote side is known to take a message id once, else `unsafe`. */
  effect: Effect
  /**
   * Sends one message and waits for all that comes of it. What is said on the way goes to `onText` piece by piece, each piece once.
   * Rejects with the signal's reason once that aborts, otherwise with a `DomainError`: `url-not-allowed`, `upstream-timeout`, `upstream-error`.
   */
  send(message: RemoteMessage, call: { signal: AbortSignal; onText(text: string): void }): Promise<RemoteReply>
}

export interface RemoteMessage extends RunInput {
  /** The same at every attempt, for the remote side to tell a repetition. */
  messageId: string
  /** The same for all turns of one conversation of one agent of ours. */
  contextId: string
  /** The remote side's task that waits for this message. */
  taskId?: string | undefined
}

/** Plain JSON: it is journalled. */
export interface RemoteReply {
  /** Text and files; at least one. */
  parts: Part[]
  /** The remote side wants another message before it goes on. */
  inputRequired: boolean
  /** Its name for what waits for that message, where it has one. */
  taskId?: string | undefined
}

export interface RemoteAgentSpec {
  name: string
  /** Of the agent card, as it was saved. */
  cardUrl: string
  /** The agent's whole config: its card, and the credentials that go to the card's own origin only. */
  config: Record<string, unknown>
  timeoutMs: number
  /** Of the run: sent along, so that agents who call each other in a circle are noticed. */
  traceId: string
}

export type OpenRemoteAgent = (spec: RemoteAgentSpec) => RemoteAgent
