import { Elysia, t } from 'elysia'
import { countedList, problemsOf } from '~/platform/http/docs/responses'
import { pageHeaders } from '~/platform/http/listing'
import { PageQuery, pageOf, Uuid } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import type { Stranger } from '~/platform/http/stranger'
import { Refresh, SignedIn, SignIn } from './schema'
import type { SignInService } from './service'

/** For who has a refresh token, which is the credential here: under the sign-in rate of the address. */
export const refreshRoutes = ({ signIns, stranger }: { signIns: SignInService; stranger: Stranger }) =>
  new Elysia({ prefix: '/auth', tags: ['auth'] })
    .use(stranger)
    .post('/refresh', ({ actor, body }) => signIns.refresh(actor, body.refresh_token), {
      body: Refresh,
      response: { 200: SignedIn },
      detail: {
        summary: 'Get a new access token for a refresh token, which is used up',
        description:
          'The answer has the next refresh token. Within a few seconds the same token gives the same successor again, so that a lost answer costs nothing; used later, it ends the sign-in.',
        security: [],
        responses: problemsOf(401),
      },
    })

export const signInRoutes = ({ signIns, session }: { signIns: SignInService; session: Session }) =>
  new Elysia({ prefix: '/auth', tags: ['auth'] })
    .use(session)
    .get(
      '/sessions',
      async ({ principal, query, request, set }) => {
        const page = pageOf(query)
        const { items, total } = await signIns.list(principal, page)
        Object.assign(set.headers, pageHeaders(request, page, total))
        return items
      },
      {
        query: t.Object(PageQuery),
        response: { 200: t.Array(SignIn) },
        detail: { summary: 'Where the user is signed in, newest first', responses: countedList },
      },
    )
    .delete(
      '/sessions/:sign_in_id',
      async ({ principal, params, set }) => {
        await signIns.endOne(principal, params.sign_in_id)
        set.status = 204
      },
      { params: t.Object({ sign_in_id: Uuid }), detail: { summary: 'End one of the own sign-ins, on whatever device' } },
    )
    .post(
      '/logout',
      async ({ principal, set }) => {
        await signIns.end(principal)
        set.status = 204
      },
      { detail: { summary: 'End this sign-in' } },
    )
    .post(
      '/logout-all',
      async ({ principal, set }) => {
        await signIns.endAll(principal)
        set.status = 204
      },
      { detail: { summary: 'End every sign-in of the user, on all devices' } },
    )
