import { Elysia, t } from 'elysia'
import { countedList } from '~/platform/http/docs/responses'
import { pageHeaders } from '~/platform/http/listing'
import { PageQuery, pageOf, Uuid } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import { Impersonation, ImpersonationToken, Reason } from './schema'
import type { ImpersonationService } from './service'

export const impersonationRoutes = ({ impersonation, session }: { impersonation: ImpersonationService; session: Session }) =>
  new Elysia({ tags: ['impersonation'] })
    .use(session)
    .post(
      '/clients/:client_id/impersonate',
      ({ principal, params, body }) => impersonation.start(principal, params.client_id, body?.reason ?? null),
      {
        params: t.Object({ client_id: Uuid }),
        body: Reason,
        response: { 200: ImpersonationToken },
        detail: {
          summary: "Act as a client's first owner; admins only",
          description:
            'For half an hour at most, without a refresh token; the token names the admin (`act`), as does everything done with it.',
        },
      },
    )
    .get(
      '/admin/impersonations',
      async ({ principal, query, request, set }) => {
        const page = pageOf(query)
        const { items, total } = await impersonation.list(principal, page)
        Object.assign(set.headers, pageHeaders(request, page, total))
        return items
      },
      {
        query: t.Object(PageQuery),
        response: { 200: t.Array(Impersonation) },
        detail: { summary: 'Who acted as whom, newest first', responses: countedList },
      },
    )
    .delete(
      '/admin/impersonations/:impersonation_id',
      async ({ principal, params, set }) => {
        await impersonation.end(principal, params.impersonation_id)
        set.status = 204
      },
      { params: t.Object({ impersonation_id: Uuid }), detail: { summary: 'End an impersonation at once' } },
    )
