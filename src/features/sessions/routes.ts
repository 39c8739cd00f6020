import { Elysia, t } from 'elysia'
import { CursorQuery, cursorPageOf } from '~/platform/http/cursor'
import { countedList, neverAnswers } from '~/platform/http/docs/responses'
import { heldAnswer } from '~/platform/http/held-answer'
import { pageHeaders } from '~/platform/http/listing'
import { described, PageQuery, pageOf, Timestamp, Uuid } from '~/platform/http/schema'
import type { OpenSession } from '~/platform/http/session'
import type { Room } from '~/platform/room'
import { SessionEvent } from './event-view'
import type { SessionService } from './service'

const SessionItem = t.Object(
  {
    id: t.String(),
    app_name: t.String(),
    user_id: t.String(),
    state: t.Record(t.String(), t.Any()),
    create_time: Timestamp,
    update_time: Timestamp,
    created_at: Timestamp,
  },
  { title: 'SessionItem' },
)
const Message = t.Object(
  {
    ...SessionEvent.properties,
    artifacts: t.Record(t.String(), t.Object({ data: t.String(), mimeType: t.String(), version: t.Integer() }), {
      description: 'The files that came with it, base64, by name.',
    }),
  },
  { title: 'SessionMessage' },
)
const SessionDetail = t.Object(
  {
    id: t.String(),
    app_name: t.String(),
    user_id: t.String(),
    state: t.Record(t.String(), t.Any()),
    events: t.Array(t.Any({ description: 'Events as in messages, but with the keys of content parts in camelCase.' })),
    last_update_time: t.Number(),
  },
  { title: 'Session' },
)
const Params = t.Object({ session_id: t.String({ minLength: 1, maxLength: 200 }) })
const Paged = t.Object(PageQuery)
const Listing = t.Object({ ...PageQuery, ...CursorQuery })
/** As listSessions has it. */
const ORDER = { by: 'moment', ids: 'text' } as const
/** The web frontend asks without a limit and takes the answer for everything. */
const wholePageOf = ({ skip = '0', limit = '1000' }: { skip?: string; limit?: string }) => pageOf({ skip, limit })

export const sessionRoutes = ({ sessions, session, room }: { sessions: SessionService; session: OpenSession; room: Room }) =>
  new Elysia({ prefix: '/sessions', tags: ['sessions'] })
    .use(session)
    .get(
      '/client/:client_id',
      async ({ principal, params, query, request, set }) => {
        const page = cursorPageOf(request, { limit: '1000', ...query }, ORDER)
        const { items, total, last } = await sessions.listOfClient(principal, params.client_id, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        params: t.Object({ client_id: Uuid }),
        query: Listing,
        response: { 200: described(t.Array(SessionItem)) },
        detail: {
          summary: "A client's sessions, newest first: 1000 unless `limit` says less",
          responses: countedList,
          ...neverAnswers(404),
        },
      },
    )
    .get(
      '/agent/:agent_id',
      async ({ principal, params, query, request, set }) => {
        const page = cursorPageOf(request, query, ORDER)
        const { items, total, last } = await sessions.listOfAgent(principal, params.agent_id, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        params: t.Object({ agent_id: Uuid }),
        query: Listing,
        response: { 200: described(t.Array(SessionItem)) },
        detail: { summary: "An agent's sessions, newest first", responses: countedList },
      },
    )
    .get('/:session_id', ({ principal, params }) => heldAnswer(room, (take) => sessions.get(principal, params.session_id, take)), {
      params: Params,
      response: { 200: SessionDetail },
      detail: { summary: 'Read a session with its events, 1000 at most' },
    })
    .get(
      '/:session_id/messages',
      ({ principal, params, query }) =>
        heldAnswer(room, (take) => sessions.messages(principal, params.session_id, wholePageOf(query), take)),
      {
        params: Params,
        query: Paged,
        response: { 200: t.Array(Message) },
        detail: { summary: "A session's newest events, oldest first: 1000 unless `limit` says less; `skip` counts from the newest" },
      },
    )
    .delete(
      '/:session_id',
      async ({ principal, params, set }) => {
        await sessions.remove(principal, params.session_id)
        set.status = 204
      },
      { params: Params, detail: { summary: 'Delete a session' } },
    )
