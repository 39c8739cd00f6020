import type { AgentTask, TaskMessage } from '~/runtime/a2a/task'
import type { Part } from '~/runtime/types'
import { type EventRow, stateOf, type TaskRow } from './queries/tasks'

const MAX_HISTORY = 100

/** A task as other agents see it: what was said, not how it was come by. */
export function viewTask(row: TaskRow, events: EventRow[], historyLength = MAX_HISTORY): AgentTask {
  const state = stateOf(row.status)
  const history = events
    .map(viewMessage)
    .filter(({ parts }) => parts.length > 0)
    .map((message) => (message.role === 'user' ? { ...message, id: row.messageId ?? message.id } : message))
  const last = history.findLast(({ role }) => role === 'agent')
  const { response } = (row.result ?? {}) as { response?: string }
  return {
    id: row.id,
    contextId: row.contextId,
    state,
    at: row.finishedAt ?? row.startedAt ?? row.createdAt,
    note: noteOf(row),
    answer: state !== 'completed' ? [] : (last?.parts ?? [{ text: response ?? '' }]),
    history: historyLength === 0 ? [] : history.slice(-Math.min(historyLength, MAX_HISTORY)),
  }
}

/** Calls of tools and what providers keep for themselves stay with us. */
export const viewMessage = ({ id, author, content, createdAt }: EventRow): TaskMessage => ({
  id,
  role: author === 'user' ? 'user' : 'agent',
  parts: content.parts.filter(isShown),
  at: createdAt,
})

export const isShown = ({ text, inline_data }: Part) => (text !== undefined && text !== '') || inline_data !== undefined

function noteOf({ error, status, waitingFor }: TaskRow): string | null {
  if (status === 'failed') return (error as { detail?: string } | null)?.detail ?? 'The task failed.'
  if (status === 'waiting' || status === 'needs_reconcile') return `Waiting: ${waitingFor?.reason ?? status}.`
  return null
}
