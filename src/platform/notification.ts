import type { Db } from './db'

/**
 * What a client's own systems can be told of. What a run, an approval or a budget comes to is written by triggers of the database, which are in the
 * same statement; the rest by a change's `notify`.
 */
export const EVENTS = ['run.finished', 'run.failed', 'approval.wanted', 'budget.reached', 'agent.changed'] as const
export type EventName = (typeof EVENTS)[number]

export interface Notification {
  type: EventName
  clientId: string
  /** Goes out to whoever the client names: ids and states, never a secret. */
  data: Record<string, unknown>
}

/** Writes down, in the change's transaction, who is to be told, each with an outbox row of kind `webhook`; returns their ids. One statement, sent when called. */
export type Subscribe = (tx: Db, notifications: Notification[]) => Promise<{ id: string }[]>
