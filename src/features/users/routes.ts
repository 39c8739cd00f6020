import { Elysia, t } from 'elysia'
import { CursorQuery, cursorPageOf } from '~/platform/http/cursor'
import { idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { PageQuery, Uuid } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import { NewAdmin, OwnLocale, User } from './schema'
import type { UserService } from './service'

const Params = t.Object({ user_id: Uuid })

/** Admins make admins, and switch anybody off and on again. Everybody says which language they read. */
export const userRoutes = ({ users, session }: { users: UserService; session: Session }) =>
  new Elysia({ tags: ['admin'] })
    .use(session)
    .get(
      '/admin/users',
      async ({ principal, query, request, set }) => {
        const page = cursorPageOf(request, query)
        const { items, total, last } = await users.listAdmins(principal, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        query: t.Object({ ...PageQuery, ...CursorQuery }),
        response: { 200: t.Array(User) },
        detail: { summary: 'List the platform admins', responses: countedList },
      },
    )
    .post(
      '/admin/users',
      async ({ principal, body, request, status }) =>
        status(201, await users.createAdmin(idempotent(principal, request, withoutPassword(body)), body)),
      {
        body: NewAdmin,
        response: { 201: User },
        detail: {
          summary: 'Create a platform admin',
          parameters: [idempotencyKey],
          description: 'Active at once. The password is for the start: it dies after 7 days.',
        },
      },
    )
    .delete(
      '/admin/users/:user_id',
      async ({ principal, params, set }) => {
        await users.deactivate(principal, params.user_id)
        set.status = 204
      },
      { params: Params, detail: { summary: 'Switch a user off, of whatever client, and sign them out everywhere' } },
    )
    .post('/admin/users/:user_id/activate', ({ principal, params }) => users.activate(principal, params.user_id), {
      params: Params,
      response: { 200: User },
      detail: { summary: 'Switch a user on again' },
    })
    .post('/admin/users/:user_id/unlock', ({ principal, params }) => users.unlock(principal, params.user_id), {
      params: Params,
      response: { 200: User },
      detail: { summary: 'End the lock of an account that had too many failed attempts' },
    })
    .post(
      '/auth/register-admin',
      async ({ principal, body, request, status }) =>
        status(201, await users.registerAdmin(idempotent(principal, request, withoutPassword(body)), body)),
      {
        body: NewAdmin,
        response: { 201: User },
        detail: { summary: 'Create a platform admin who has to confirm the address by mail', parameters: [idempotencyKey], tags: ['auth'] },
      },
    )
    .put('/auth/locale', ({ principal, body }) => users.changeLocale(principal, body), {
      body: OwnLocale,
      response: { 200: User },
      detail: { summary: 'Choose the language of the mails to oneself', tags: ['auth'] },
    })

/** A fingerprint of a password that somebody made up could be guessed. */
const withoutPassword = ({ email, name }: NewAdmin) => ({ email, name })
