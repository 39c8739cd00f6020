import type { AgentService } from '~/features/agents/service'
import type { FileKeeper } from '~/features/files/keeper'
import { authorize, authorizeReach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { TakeRoom } from '~/platform/http/held-answer'
import type { Page } from '~/platform/http/schema'
import { pageFrom } from '~/platform/keyset'
import type { Principal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { type StoredEvent, showEvent } from './event-view'
import { countSessions, deleteSession, findSession, listEvents, listSessions } from './queries'
import { parseSessionId } from './session-id'

const ALL_EVENTS: Page = { skip: 0, limit: 1000 }

export type SessionService = ReturnType<typeof createSessionService>

export function createSessionService({ db, write, agents, files }: { db: Db; write: Write; agents: AgentService; files: FileKeeper }) {
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
      const [rows, total] = await Promise.all([listSessions(db, { clientId }, page), countSessions(db, { clientId })])
      return { ...pageFrom(rows, page.limit), total }
    },

    async listOfAgent(principal: Principal, agentId: string, page: Page) {
      const agent = await agents.find(authorizeReach(principal, 'read', 'sessions'), agentId)
      const owner = { clientId: agent.client_id, agentId }
      const [rows, total] = await Promise.all([listSessions(db, owner, page), countSessions(db, owner)])
      return { ...pageFrom(rows, page.limit), total }
    },

    async get(principal: Principal, id: string, take: TakeRoom) {
      const session = await find(principal, id)
      const stored = await listEvents(db, { clientId: session.clientId, sessionId: id }, ALL_EVENTS)
      const events = await files.fill(session.clientId, stored, MAX_FILE_BYTES, holdIn(take, session))
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
    async messages(principal: Principal, id: string, page: Page, take: TakeRoom) {
      const session = await find(principal, id)
      const events = await listEvents(db, { clientId: session.clientId, sessionId: id }, page)
      const filled = await files.fill(session.clientId, events, MAX_FILE_BYTES, holdIn(take, session))
      return filled.map((event) => ({ ...showEvent(event), artifacts: artifactsOf(event) }))
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

/** A file stands in an answer twice: as a part, and among the artifacts. */
const holdIn =
  (take: TakeRoom, { clientId }: { clientId: string }) =>
  (bytes: number) =>
    take(clientId, 2 * bytes)

/** Of one answer, newest first; the others are there by their `file_uri`. */
const MAX_FILE_BYTES = 50_331_648

/** The files of an event, by the names in its `artifact_delta`, as far as they are in the answer. */
function artifactsOf({ content, actions }: StoredEvent) {
  const versions = (actions.artifact_delta ?? {}) as Record<string, number>
  return Object.fromEntries(
    content.parts.flatMap(({ inline_data: file }) => {
      const name = file?.metadata?.filename
      const version = name === undefined ? undefined : versions[name]
      return file === undefined || name === undefined || version === undefined
        ? []
        : [[name, { data: file.data, mimeType: file.mime_type, version }]]
    }),
  )
}

/** This one route of the reference spells the keys of a part in camelCase, those of its file too; what tools were given and said is theirs. */
const camelPart = ({ inline_data, file_data, ...part }: ReturnType<typeof showEvent>['content']['parts'][number]) =>
  camelKeys({ ...part, inline_data: inline_data && camelKeys(inline_data), file_data: file_data && camelKeys(file_data) })

const camelKeys = (object: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(object).map(([key, value]) => [key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()), value]),
  )
