import { Elysia } from 'elysia'
import { SecondStep } from '~/features/second-factors/schema'
import { SignedIn } from '~/features/sign-ins/schema'
import { User } from '~/features/users/schema'
import { acceptLanguage } from '~/platform/http/docs/parameters'
import { neverAnswers, problemsOf } from '~/platform/http/docs/responses'
import { localeOf } from '~/platform/http/locale'
import { Message } from '~/platform/http/schema'
import type { Session } from '~/platform/http/session'
import type { Stranger } from '~/platform/http/stranger'
import { authSchemas } from './schema'
import type { AuthService } from './service'

/** Sign-up, sign-in and the links of mails: the routes that a stranger may call, each under the sign-in rate of its address. */
export const authRoutes = ({
  auth,
  stranger,
  session,
  passwordMinLength,
}: {
  auth: AuthService
  stranger: Stranger
  session: Session
  passwordMinLength: number
}) => {
  const { Registration, Login, EmailOnly, Reset, Verification } = authSchemas({ passwordMinLength })
  return new Elysia({ prefix: '/auth', tags: ['auth'] })
    .use(signedIn({ auth, session, passwordMinLength }))
    .use(stranger)
    .post('/register', async ({ actor, body, request, status }) => status(201, await auth.register(actor, body, localeOf(request))), {
      body: Registration,
      response: { 201: User },
      detail: {
        summary: 'Register an organisation and its first user; a mail with a link follows',
        parameters: [acceptLanguage],
        security: [],
      },
    })
    .get(
      '/verify-email/:token',
      async ({ actor, params, request }) => {
        // Mail scanners look with HEAD before the user clicks: looking uses nothing up.
        if (request.method !== 'HEAD') await auth.verifyEmail(actor, params.token)
        return { message: 'Email verified successfully. Your account is active.' }
      },
      {
        params: Verification,
        response: { 200: Message },
        detail: { summary: 'Verify an address by the link of the mail', security: [], ...neverAnswers(404) },
      },
    )
    .post(
      '/verify-email',
      async ({ actor, body }) => {
        await auth.verifyEmail(actor, body.token)
        return { message: 'Email verified successfully. Your account is active.' }
      },
      {
        body: Verification,
        response: { 200: Message },
        detail: { summary: 'Verify an address; mail scanners cannot trigger this one', security: [] },
      },
    )
    .post(
      '/resend-verification',
      async ({ actor, body }) => {
        await auth.resendVerification(actor, body.email)
        return { message: 'Verification email resent. Check your inbox.' }
      },
      { body: EmailOnly, response: { 200: Message }, detail: { summary: 'Send the verification mail again', security: [] } },
    )
    .post('/login', ({ actor, body }) => auth.login(actor, body.email, body.password), {
      body: Login,
      response: { 200: SignedIn },
      detail: { summary: 'Sign in and get an access and a refresh token', security: [], responses: problemsOf(401, 403) },
    })
    .post('/login/mfa', ({ actor, body }) => auth.loginWithCode(actor, body.mfa_token, body.code), {
      body: SecondStep,
      response: { 200: SignedIn },
      detail: { summary: 'The second step of a sign-in: a code of the second factor', security: [], responses: problemsOf(401, 403) },
    })
    .post(
      '/forgot-password',
      async ({ actor, body }) => {
        await auth.forgotPassword(actor, body.email)
        return { message: 'If the email is registered, you will receive instructions to reset your password.' }
      },
      { body: EmailOnly, response: { 200: Message }, detail: { summary: 'Ask for a password reset mail', security: [] } },
    )
    .post(
      '/reset-password',
      async ({ actor, body }) => {
        await auth.resetPassword(actor, body.token, body.new_password)
        return { message: 'Password reset successfully. You can now login with your new password.' }
      },
      { body: Reset, response: { 200: Message }, detail: { summary: 'Set a new password with the link of the mail', security: [] } },
    )
    .post(
      '/confirm-email-change',
      async ({ actor, body }) => {
        await auth.confirmEmailChange(actor, body.token)
        return { message: 'Email changed successfully. Sign in with the new address from now on.' }
      },
      {
        body: Verification,
        response: { 200: Message },
        detail: { summary: 'Confirm a new address by the link of the mail', security: [] },
      },
    )
}

const signedIn = ({ auth, session, passwordMinLength }: { auth: AuthService; session: Session; passwordMinLength: number }) => {
  const { Change, EmailChange } = authSchemas({ passwordMinLength })
  return new Elysia()
    .use(session)
    .post('/me', ({ principal }) => auth.me(principal), { response: { 200: User }, detail: { summary: 'The signed-in user' } })
    .post(
      '/change-password',
      async ({ principal, body }) => {
        await auth.changePassword(principal, body.current_password, body.new_password)
        return { message: 'Password changed successfully' }
      },
      { body: Change, response: { 200: Message }, detail: { summary: 'Change the own password; every other sign-in ends' } },
    )
    .post(
      '/change-email',
      async ({ principal, body }) => {
        await auth.requestEmailChange(principal, body.current_password, body.new_email)
        return { message: 'If the address is free, a mail with a link went to it.' }
      },
      { body: EmailChange, response: { 200: Message }, detail: { summary: 'Ask for another address; a mail to it confirms the change' } },
    )
}
