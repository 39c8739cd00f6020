import { Elysia, t } from 'elysia'
import { problemsOf } from '~/platform/http/docs/responses'
import { Uuid } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import { Confirmation, Enrolment, FactorState, NewFactor, Proof, RecoveryCodes } from './schema'
import type { SecondFactorService } from './service'

/** The second factor of one's own account. */
export const secondFactorRoutes = ({ secondFactors, session }: { secondFactors: SecondFactorService; session: Session }) =>
  new Elysia({ tags: ['auth'] })
    .use(session)
    .get('/auth/mfa', ({ principal }) => secondFactors.state(principal), {
      response: { 200: FactorState },
      detail: { summary: 'Whether the own account has a second factor' },
    })
    .post('/auth/mfa/totp', ({ principal, body }) => secondFactors.begin(principal, body.current_password), {
      body: Enrolment,
      response: { 200: NewFactor },
      detail: {
        summary: 'Begin to set up an authenticator app (TOTP)',
        description: 'The secret counts once a code of it was confirmed. Also open to those who must have a second factor and have none.',
        responses: problemsOf(409),
      },
    })
    .post('/auth/mfa/totp/confirm', ({ principal, body }) => secondFactors.confirm(principal, body.code), {
      body: Confirmation,
      response: { 200: RecoveryCodes },
      detail: { summary: 'Confirm the authenticator app with a code, and get recovery codes', responses: problemsOf(404, 409) },
    })
    .delete(
      '/auth/mfa/totp',
      async ({ principal, body, set }) => {
        await secondFactors.remove(principal, body.current_password, body.code)
        set.status = 204
      },
      { body: Proof, detail: { summary: 'Take the authenticator app away, and the recovery codes with it', responses: problemsOf(404) } },
    )
    .post(
      '/auth/mfa/recovery-codes',
      ({ principal, body }) => secondFactors.renewRecoveryCodes(principal, body.current_password, body.code),
      {
        body: Proof,
        response: { 200: RecoveryCodes },
        detail: { summary: 'Get new recovery codes; the old ones stop working', responses: problemsOf(404) },
      },
    )
    .delete(
      '/admin/users/:user_id/second-factor',
      async ({ principal, params, set }) => {
        await secondFactors.removeOf(principal, params.user_id)
        set.status = 204
      },
      {
        params: t.Object({ user_id: Uuid }),
        detail: { summary: 'Take a second factor away from somebody who lost the device', tags: ['admin'] },
      },
    )
