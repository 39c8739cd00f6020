import { Elysia, t } from 'elysia'
import { CursorQuery, cursorPageOf } from '~/platform/http/cursor'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList, problemsOf } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { PageQuery, Uuid } from '~/platform/http/schema'
import type { OpenSession } from '~/platform/http/session'
import { Contact, NewContact } from './schema'
import type { ContactService } from './service'

const Params = t.Object({ contact_id: Uuid })

export const contactRoutes = ({ contacts, session }: { contacts: ContactService; session: OpenSession }) =>
  new Elysia({ prefix: '/contacts', tags: ['contacts'] })
    .use(session)
    .post(
      '/',
      async ({ principal, body, request, status }) => status(201, await contacts.create(idempotent(principal, request, body), body)),
      {
        body: NewContact,
        response: { 201: Contact },
        detail: {
          summary: 'Make a contact',
          description: 'Whoever chats under an external id that no contact has becomes a contact by that.',
          parameters: [idempotencyKey],
          responses: problemsOf(409),
        },
      },
    )
    .get(
      '/',
      async ({ principal, query, request, set }) => {
        const page = cursorPageOf(request, query)
        const { items, total, last } = await contacts.list(principal, query.client_id, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        query: t.Object({ ...PageQuery, ...CursorQuery, client_id: Uuid }),
        response: { 200: t.Array(Contact) },
        detail: { summary: "List a client's contacts, oldest first", responses: countedList },
      },
    )
    .get('/:contact_id', ({ principal, params }) => contacts.get(principal, params.contact_id), {
      params: Params,
      response: { 200: Contact },
      detail: { summary: 'Read a contact' },
    })
    .put('/:contact_id', ({ principal, params, body }) => contacts.replace(principal, params.contact_id, body), {
      params: Params,
      body: NewContact,
      response: { 200: Contact },
      detail: { summary: 'Replace what is known of a contact', responses: problemsOf(409) },
    })
    .delete(
      '/:contact_id',
      async ({ principal, params, set }) => {
        await contacts.remove(principal, params.contact_id)
        set.status = 204
      },
      { params: Params, detail: { summary: 'Delete a contact; its sessions stay, without one' } },
    )
