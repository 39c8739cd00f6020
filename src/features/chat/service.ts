import type { AgentService } from '~/features/agents/service'
import { inputOf } from '~/features/files/schema'
import { storedEventOf } from '~/features/runs/event-stream'
import { errorOfRun, type LogEvent, needsSomebody, whereToLook } from '~/features/runs/log-event'
import type { RunRequest, RunService } from '~/features/runs/service'
import type { Ahead } from '~/features/runs/turn'
import { type SessionEvent, showEvent } from '~/features/sessions/event-view'
import { authorizeReach } from '~/platform/access'
import type { Clock } from '~/platform/clock'
import { DomainError } from '~/platform/errors'
import type { Principal } from '~/platform/principal'
import type { ChatAnswer, ChatMessage } from './schema'

export type ChatService = ReturnType<typeof createChatService>

export interface Turn {
  agentId: string
  externalId: string
  message: ChatMessage
  /** What the sender calls the message. */
  messageId?: string
  onDisconnect: 'continue' | 'cancel'
  /** What else is written with it. */
  alongside?: RunRequest['alongside']
  /** What it begins with, if that was read already. */
  ahead?: Promise<Ahead | undefined> | undefined
  /** Aborts when the client leaves. */
  signal: AbortSignal
  /** Told when the turn is written down: its files need not be held by whoever sent them. */
  onAccepted?(): void
}

export function createChatService({ agents, runs, clock }: { agents: AgentService; runs: RunService; clock: Clock }) {
  const start = async (
    principal: Principal,
    { agentId, externalId, message, messageId, ...how }: Omit<Turn, 'signal' | 'onAccepted'>,
  ): Promise<{ runId: string; sessionId: string }> => {
    const clientId = await agents.ownerOf(authorizeReach(principal, 'write', 'chat'), agentId)
    const input = { ...inputOf(message.message, message.files), ...(messageId === undefined ? {} : { messageId }) }
    return runs.start(principal, { ...how, clientId, agentId, externalId, input })
  }

  return {
    /** @throws DomainError `forbidden`, `not-found` for whoever may not talk to this agent */
    async authorize(principal: Principal, agentId: string): Promise<{ name: string }> {
      const { name } = await agents.find(authorizeReach(principal, 'write', 'chat'), agentId)
      return { name }
    },

    /** Accepts one turn, whoever may follow it. */
    start,

    /** The events of one turn as they come, from `run-started` on. */
    async stream(principal: Principal, turn: Turn): Promise<{ runId: string; entries: AsyncGenerator<LogEvent | undefined, void> }> {
      const { runId } = await start(principal, turn)
      turn.onAccepted?.()
      return { runId, entries: runs.whileWatched(principal, runId, { ...turn, streamed: true }) }
    },

    /** The rest of a run that this caller may follow, behind the entry numbered `after`. @throws DomainError `not-found` */
    resume: (principal: Principal, runId: string, { after, signal }: { after: number; signal: AbortSignal }) =>
      runs.follow(principal, runId, { after, signal }),

    /** One turn to its end. @throws DomainError what the run failed of */
    async ask(principal: Principal, turn: Turn): Promise<ChatAnswer> {
      const { runId } = await start(principal, turn)
      turn.onAccepted?.()
      const history: SessionEvent[] = []
      for await (const entry of runs.whileWatched(principal, runId, { ...turn, streamed: false })) {
        if (entry === undefined) continue
        if (entry.type === 'message') history.push(showEvent(storedEventOf(entry)))
        if (entry.type === 'run-finished') return answer(String(entry.data.response), history)
        refuseFailure(principal, entry)
      }
      throw new DomainError('run-cancelled', 'The client left before the run had ended.')
    },
  }

  function answer(response: string, history: SessionEvent[]): ChatAnswer {
    // Of the last event, so that a repeated request is answered the same.
    const ended = history.at(-1)?.timestamp
    const timestamp = new Date(ended === undefined ? clock.now() : Math.round(ended * 1000)).toISOString()
    return { response, message_history: history, status: 'success', timestamp }
  }
}

/** A failed run is a failed request. @throws DomainError */
function refuseFailure(principal: Principal, entry: LogEvent) {
  const { type, data } = entry
  if (type === 'run-failed') throw errorOfRun(entry)
  if (type === 'run-cancelled') throw new DomainError('run-cancelled', 'The run was cancelled.')
  if (data.earlier_run_id !== undefined)
    throw new DomainError(
      'conflict',
      `The run ${String(data.run_id)} begins when the run ${String(data.earlier_run_id)} before it is over, which waits: GET ${whereToLook(principal, String(data.earlier_run_id))} says what for.`,
    )
  if (needsSomebody(entry))
    throw new DomainError(
      'conflict',
      `The run ${String(data.run_id)} waits: ${String(data.reason)}. GET ${whereToLook(principal, String(data.run_id))} says what for.`,
    )
}
