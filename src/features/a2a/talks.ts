import type { Db } from '~/platform/db'
import { notFound } from '~/platform/errors'
import type { Principal } from '~/platform/principal'
import type { TaskMessage } from '~/runtime/a2a/task'
import { type EventRow, listLastEvents, listSessionsOf, type Owner } from './queries/tasks'
import { referencePart } from './reference-shapes'
import { viewMessage } from './task-view'

interface Deps {
  db: Db
  open(principal: Principal, agentId: string): Promise<Owner>
  externalIdOf(contextId: string): string
}

const LAST_SHOWN = 10
const MAX_SESSIONS = 100

/** The reference's routes about whole conversations: one has the context, or the external id, as its name. */
export function createTalks({ db, open, externalIdOf }: Deps) {
  const eventsOf = async (owner: Owner, externalId: string, limit: number): Promise<EventRow[]> => {
    const [session] = await listSessionsOf(db, owner, { externalId, limit: 1 })
    if (session === undefined) throw notFound('Session')
    return listLastEvents(db, owner.clientId, session.id, limit)
  }

  return {
    async sessions(principal: Principal, agentId: string, contextId: string | undefined) {
      const externalId = contextId === undefined ? undefined : externalIdOf(contextId)
      const rows = await listSessionsOf(db, await open(principal, agentId), { externalId, limit: MAX_SESSIONS })
      const sessions = rows.map((session) => ({
        sessionId: session.id,
        contextId: contextId ?? session.externalId,
        lastUpdate: session.updatedAt.getTime() / 1000,
        messageCount: session.messageCount,
        status: 'active',
      }))
      return { sessions, total: sessions.length }
    },

    async history(principal: Principal, agentId: string, sessionId: string, limit: number) {
      const owner = await open(principal, agentId)
      const at = sessionId.lastIndexOf('_')
      if (sessionId.slice(at + 1).toLowerCase() !== agentId) throw notFound('Session')
      const events = await eventsOf(owner, sessionId.slice(0, at), limit)
      const history = events.map((event) => ({
        ...shown(viewMessage(event)),
        content: event.content,
        author: event.author,
        invocation_id: event.runId ?? event.id,
      }))
      return { sessionId, history, total: history.length }
    },

    /** As a task of the reference, with a message in each artifact. */
    async conversation(principal: Principal, agentId: string, contextId: string, limit: number) {
      const owner = await open(principal, agentId)
      const messages = (await eventsOf(owner, externalIdOf(contextId), limit)).map(viewMessage).filter(({ parts }) => parts.length > 0)
      const artifacts = messages.slice(-LAST_SHOWN).map(({ parts }, index) => ({
        artifactId: `message_${index + 1}`,
        name: `message_${index + 1}`,
        parts: parts.map(referencePart),
      }))
      const summary = `${messages.length} messages`
      return {
        id: crypto.randomUUID(),
        contextId,
        status: { state: 'completed', timestamp: new Date().toISOString() },
        artifacts: [
          ...artifacts,
          { artifactId: 'conversation_summary', name: 'conversation_summary', parts: [referencePart({ text: summary })] },
        ],
        history: messages.map(({ parts, ...message }) => ({
          ...shown(message),
          kind: 'message',
          contextId,
          parts: parts.map(referencePart),
        })),
        kind: 'task',
        metadata: { total_messages: messages.length, operation: 'conversation_history_retrieval' },
      }
    },
  }
}

const shown = ({ id, role, at }: Omit<TaskMessage, 'parts'>) => ({ messageId: id, role, timestamp: at.toISOString() })
