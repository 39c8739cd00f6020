import type { AgentService } from '~/features/agents/service'
import { authorize, authorizeReach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import type { Principal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { showEvent } from './event-view'
import { countSessions, deleteSession, findSession, listEvents, listSessions } from './queries'
import { parseSessionId } from './session-id'

const ALL_EVENTS: Page = { skip: 0, limit: 1000 }

export type SessionService = ReturnType<typeof createSessionService>

export function createSessionService({ db, write, agents }: { db: Db; write: Write; agents: AgentService }) {
  const find = async (principal: Principal, id: string) => {
    const reach = authorizeReach(principal, 'read', 'sessions')
    parseSessionId(id)
    const session = await findSession(db, reach, id)
    if (session === undefined) throw new DomainError('not-found', `Session not found: ${id}`)
    return session
  }

  return {
    async listOfClient(principal: Principal, clientId: string, page: Page) {
      authorize(principal, 'read', { kind: 'sessions', clientId })
      const [items, total] = await Promise.all([listSessions(db, { clientId }, page), countSessions(db, { clientId })])
      return { items, total }
    },

    async listOfAgent(principal: Principal, agentId: string, page: Page) {
      const agent = await agents.find(authorizeReach(principal, 'read', 'sessions'), agentId)
      const owner = { clientId: agent.client_id, agentId }
      const [items, total] = await Promise.all([listSessions(db, owner, page), countSessions(db, owner)])
      return { items, total }
    },

    async get(principal: Principal, id: string) {
      const session = await find(principal, id)
      const events = await listEvents(db, { clientId: session.clientId, sessionId: id }, ALL_EVENTS)
      return {
        id: session.id,
        app_name: session.app_name,
        user_id: session.user_id,
        state: session.state,
        events: events
          .map(showEvent)
          .map(({ content, ...event }) => ({ ...event, content: { role: content.role, parts: content.parts.map(camelPart) } })),
        last_update_time: session.update_time.getTime() / 1000,
      }
    },

    /** The newest of them, oldest first; `page` counts from the newest. */
    async messages(principal: Principal, id: string, page: Page) {
      const session = await find(principal, id)
      return (await listEvents(db, { clientId: session.clientId, sessionId: id }, page)).map(showEvent)
    },

    async remove(principal: Principal, id: string): Promise<void> {
      const reach = authorizeReach(principal, 'write', 'sessions')
      parseSessionId(id)
      await write(principal, async ({ tx, audit }) => {
        const gone = await deleteSession(tx, reach, id)
        if (gone === undefined) throw new DomainError('not-found', `Session not found: ${id}`)
        audit({ action: 'delete', resourceType: 'session', resourceId: id, clientId: gone.clientId })
      })
    },
  }
}

/** This one route of the reference spells a part's keys in camelCase. */
const camelPart = (part: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(part).map(([key, value]) => [key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()), value]),
  )
