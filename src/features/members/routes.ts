import { Elysia, t } from 'elysia'
import { User } from '~/features/users/schema'
import { CursorQuery, cursorPageOf } from '~/platform/http/cursor'
import { acceptLanguage, idempotencyKey } from '~/platform/http/docs/parameters'
import { countedList, neverAnswers, problemsOf } from '~/platform/http/docs/responses'
import { idempotent } from '~/platform/http/idempotency'
import { pageHeaders } from '~/platform/http/listing'
import { localeOf } from '~/platform/http/locale'
import { PageQuery, Uuid } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import type { Stranger } from '~/platform/http/stranger'
import { acceptanceSchema, Invitation, Member, NewInvitation, RoleChange } from './schema'
import type { MemberService } from './service'

const Client = t.Object({ client_id: Uuid })
const OneMember = t.Object({ client_id: Uuid, user_id: Uuid })
const OneInvitation = t.Object({ client_id: Uuid, invitation_id: Uuid })

export const memberRoutes = ({ members, session }: { members: MemberService; session: Session }) =>
  new Elysia({ prefix: '/clients', tags: ['members'] })
    .use(session)
    .get(
      '/:client_id/members',
      async ({ principal, params, query, request, set }) => {
        const page = cursorPageOf(request, query)
        const { items, total, last } = await members.list(principal, params.client_id, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        params: Client,
        query: t.Object({ ...PageQuery, ...CursorQuery }),
        response: { 200: t.Array(Member) },
        detail: { summary: 'List the people of a client', responses: countedList, ...neverAnswers(404) },
      },
    )
    .put(
      '/:client_id/members/:user_id',
      ({ principal, params, body }) => members.changeRole(principal, params.client_id, params.user_id, body.role),
      {
        params: OneMember,
        body: RoleChange,
        response: { 200: Member },
        detail: { summary: 'Give a member another role; effective with the next request', responses: problemsOf(409) },
      },
    )
    .delete(
      '/:client_id/members/:user_id',
      async ({ principal, params, set }) => {
        await members.remove(principal, params.client_id, params.user_id)
        set.status = 204
      },
      { params: OneMember, detail: { summary: 'Switch a member off and sign them out; the last owner stays', responses: problemsOf(409) } },
    )
    .get(
      '/:client_id/invitations',
      async ({ principal, params, query, request, set }) => {
        const page = cursorPageOf(request, query)
        const { items, total, last } = await members.listInvitations(principal, params.client_id, page)
        Object.assign(set.headers, pageHeaders(request, page, total, last))
        return items
      },
      {
        params: Client,
        query: t.Object({ ...PageQuery, ...CursorQuery }),
        response: { 200: t.Array(Invitation) },
        detail: { summary: 'List the open invitations', responses: countedList, ...neverAnswers(404) },
      },
    )
    .post(
      '/:client_id/invitations',
      async ({ principal, params, body, request, status }) =>
        status(201, await members.invite(idempotent(principal, request, body), params.client_id, body)),
      {
        params: Client,
        body: NewInvitation,
        response: { 201: Invitation },
        detail: { summary: 'Invite somebody by mail; the newest invitation of an address counts', parameters: [idempotencyKey] },
      },
    )
    .delete(
      '/:client_id/invitations/:invitation_id',
      async ({ principal, params, set }) => {
        await members.withdraw(principal, params.client_id, params.invitation_id)
        set.status = 204
      },
      { params: OneInvitation, detail: { summary: 'Withdraw an invitation' } },
    )

/** The one route of this feature that a stranger may call, under the sign-in rate of its address. */
export const acceptanceRoutes = ({
  members,
  stranger,
  passwordMinLength,
}: {
  members: MemberService
  stranger: Stranger
  passwordMinLength: number
}) =>
  new Elysia({ prefix: '/auth', tags: ['auth'] })
    .use(stranger)
    .post(
      '/accept-invitation',
      async ({ actor, body, request, status }) => status(201, await members.accept(actor, body, localeOf(request))),
      {
        body: acceptanceSchema({ passwordMinLength }),
        response: { 201: User },
        detail: {
          summary: 'Join a client with the link of an invitation',
          parameters: [acceptLanguage],
          security: [],
          responses: problemsOf(409),
        },
      },
    )
