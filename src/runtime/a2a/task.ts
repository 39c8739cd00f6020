import type { FilePart } from '../model/types'
import type { Part } from '../types'

/** A turn of one of our agents, as other agents see it. Each dialect has its own words for these. */
export type TaskState = 'submitted' | 'working' | 'completed' | 'failed' | 'canceled'

export interface AgentTask {
  id: string
  contextId: string
  state: TaskState
  /** Since when. */
  at: Date
  /** Why it failed, or what it waits for. */
  note: string | null
  /** The answer: text and files. Empty until there is one. */
  answer: Part[]
  /** The turn's messages, oldest first. */
  history: TaskMessage[]
}

export interface TaskMessage {
  id: string
  role: 'user' | 'agent'
  parts: Part[]
  at: Date
}

export type TaskUpdate =
  | { kind: 'status'; state: TaskState; note: string | null }
  /** A piece of the answer; `isFirst` forgets what was said before. */
  | { kind: 'text'; text: string; isFirst: boolean }
  /** The whole answer. */
  | { kind: 'answer'; parts: Part[] }

export interface NewTask {
  messageId: string
  /** The conversation it goes on with; without one a new conversation begins. */
  contextId?: string | undefined
  /** An earlier task of the same conversation. */
  taskId?: string | undefined
  text: string
  files: FilePart[]
  push?: PushTarget | undefined
}

/** Whom to tell of a task's end. */
export interface PushTarget {
  id: string
  url: string
  /** Sent back to them, as the sign that it is us. */
  token?: string | undefined
  /** Header lines that they want. */
  headers: Record<string, string>
  /** What they said, to be shown again. */
  shown: Record<string, unknown>
}

/** Which words a push notification is told in. */
export type Dialect = 'reference' | '0.3' | '1.0'

/** One agent's tasks, for one caller. Errors are DomainErrors: `not-found` for tasks of others, too. */
export interface AgentTasks {
  /** The agent's card: in the words of every version at once. */
  card: Record<string, unknown>
  /** The same message, sent again, is the same task. */
  send(task: NewTask, dialect: Dialect): Promise<{ id: string; contextId: string }>
  get(taskId: string, historyLength?: number): Promise<AgentTask>
  /** Last changed first. @throws DomainError `validation-failed` for an `after` that is none of ours */
  list(page: TaskPage): Promise<{ tasks: AgentTask[]; total: number; next: string | null }>
  /** @throws DomainError `conflict` when it is over */
  cancel(taskId: string): Promise<AgentTask>
  /** From the task's beginning to its end, or until it waits for somebody; on whatever process it is worked on. */
  follow(taskId: string): AsyncGenerator<TaskUpdate, void>
  setPush(taskId: string, target: PushTarget, dialect: Dialect): Promise<void>
  listPush(taskId: string): Promise<PushTarget[]>
  /** Whether there was one. */
  deletePush(taskId: string, id: string): Promise<boolean>
}

export interface TaskPage {
  contextId?: string | undefined
  state?: TaskState | undefined
  /** Those alone that have been as they are since then, or for less long. */
  since?: Date | undefined
  limit: number
  /** The `next` of the page before. */
  after?: string | undefined
  historyLength?: number | undefined
}

export const isOver = (state: TaskState) => state === 'completed' || state === 'failed' || state === 'canceled'
