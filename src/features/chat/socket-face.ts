import { showLogEvent, storedEventOf } from '~/features/runs/event-stream'
import { isTerminal, type LogEvent, needsSomebody } from '~/features/runs/log-event'
import { type SessionEvent, showEvent } from '~/features/sessions/event-view'
import type { DomainError } from '~/platform/errors'

/** What a turn looks like on the wire: frames for each entry of its log, and for what went wrong outside of it. */
export interface SocketFace {
  /** On being let in. */
  welcome(): object[]
  entry(entry: LogEvent, runId: string): object[]
  failure(error: DomainError, problem: object): object[]
}

const TURN_COMPLETE = { message: '', turn_complete: true }

/** The contract of the web frontend: whole events, each with content, and an end that always comes. */
export const wholeEvents = ({ agentName }: { agentName: string }): SocketFace => ({
  welcome: () => [],
  entry(entry, runId) {
    if (entry.type === 'message') return [{ message: toFrontend(showEvent(storedEventOf(entry))), turn_complete: false }]
    if (needsSomebody(entry)) {
      const text = `The run waits for a decision (${String(entry.data.reason)}).`
      return [{ message: spoken(agentName, runId, text, null), turn_complete: false }, TURN_COMPLETE]
    }
    if (!isTerminal(entry)) return []
    if (entry.type === 'run-finished') return [TURN_COMPLETE]
    const cancelled = entry.type === 'run-cancelled'
    const text = cancelled ? 'The run was cancelled.' : String(entry.data.detail)
    const code = cancelled ? 'run-cancelled' : String(entry.data.problem)
    return [{ message: spoken(agentName, runId, `Error: ${text}`, code), turn_complete: false }, TURN_COMPLETE]
  },
  failure(error, problem) {
    const message = spoken(agentName, crypto.randomUUID(), `Error: ${error.message}`, error.problem)
    return [{ message, turn_complete: false, error: problem }, TURN_COMPLETE]
  },
})

/** The run's log as it is: the entries that the event stream of REST has. */
export const logEntries: SocketFace = {
  welcome: () => [{ type: 'ready' }],
  entry: (entry, runId) => [{ type: entry.type, ...(entry.seq > 0 && { id: entry.seq }), run_id: runId, data: showLogEvent(entry) }],
  failure: (_error, problem) => [{ type: 'error', data: problem }],
}

/** The role is `user` or `agent`, each part says that it is text, and there is always one. */
function toFrontend(event: SessionEvent): object {
  const { role, parts } = event.content
  const shown = parts.length === 0 ? [{ text: 'Content without parts' }] : parts
  return {
    ...event,
    content: { role: role === 'user' ? 'user' : 'agent', parts: shown.map((part) => ({ ...part, type: 'text' })) },
  }
}

/** Something that no agent said, as an event that the frontend can show. */
const spoken = (author: string, runId: string, text: string, errorCode: string | null) =>
  toFrontend(
    showEvent({
      id: crypto.randomUUID(),
      runId,
      author,
      content: { role: 'model', parts: [{ text }] },
      actions: {},
      branch: null,
      errorCode,
      errorMessage: errorCode === null ? null : text,
      timestamp: Date.now() / 1000,
    }),
  )
