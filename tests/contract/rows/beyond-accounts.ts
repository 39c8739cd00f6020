import { PASSWORD } from '../../support/start-app'
import { deviceCode, invitationToken, mailed } from '../made'
import { type Row, table, text } from '../table'

/** Routes that Evo AI 0.1.0 does not have, and those of its own whose input comes by mail. */

const row = (ask: Row['ask'], who: Row['who'], status: number, what: string, more: Partial<Row> = {}): Row => ({
  what,
  ask,
  who,
  status,
  ...more,
})
const password = 'four unusual words here'
const body = (send: unknown) => ({ send })

export const root = table(
  '3.1 Root and health',
  [
    row('GET /', 'nobody', 200, 'who is this', {
      root: true,
      body: {
        message: 'Welcome to Evo AI API',
        documentation: '/docs',
        version: '1.0.0',
        auth: "To access the API, use JWT authentication via '/api/v1/auth/login'",
      },
    }),
    row('GET /livez', 'nobody', 200, 'alive', { root: true }),
    row('GET /readyz', 'nobody', 200, 'ready', { root: true }),
    row('GET /openapi.json', 'nobody', 200, 'the document', { root: true, body: { openapi: text, paths: {} } }),
    row('GET /docs', 'nobody', 200, 'the page', { root: true }),
    row('GET /redoc', 'nobody', 307, 'the other page is the same', { root: true, changed: '200' }),
    row('GET /problems/not-found', 'nobody', 200, 'what a problem means', { root: true }),
    row('GET /problems/nothing', 'nobody', 404, 'no problem of ours', { root: true }),
    row('GET /metrics', 'nobody', 200, 'figures for Prometheus', {
      root: true,
      headers: { authorization: 'Bearer Kd8Rm2Vx5Qp9Lw3Zt7Yb4Hc6Nf1Gs0Ja' },
    }),
    row('GET /metrics', 'nobody', 401, 'without its token', { root: true }),
    row('GET /nothing', 'nobody', 404, 'nowhere', { root: true, says: 'Not Found' }),
    row('POST /', 'nobody', 405, 'the wrong method', { root: true, says: 'Method Not Allowed' }),
  ],
  { METRICS_TOKEN: 'Kd8Rm2Vx5Qp9Lw3Zt7Yb4Hc6Nf1Gs0Ja' },
)

export const links = table('3.2 What mails lead to', [
  row('POST /auth/register', 'nobody', 201, 'a newcomer', body({ email: 'new@example.com', password, name: 'New' })),
  row('GET /auth/verify-email/{token}', 'nobody', 200, 'the link of the mail', {
    made: mailed('new@example.com', 'verify-email'),
    body: { message: 'Email verified successfully. Your account is active.' },
  }),
  row('GET /auth/verify-email/{token}', 'nobody', 400, 'the same link again'),
  row('POST /auth/login', 'nobody', 200, 'and signed in', body({ email: 'new@example.com', password })),
  row('POST /auth/register', 'nobody', 201, 'another one', body({ email: 'new2@example.com', password, name: 'New' })),
  row('POST /auth/verify-email', 'nobody', 200, 'the code by POST, which no scanner sends', {
    made: mailed('new2@example.com', 'verify-email'),
    ...body({ token: '{token}' }),
  }),
  row('POST /auth/resend-verification', 'nobody', 200, 'verified already, told to nobody', {
    ...body({ email: 'new2@example.com' }),
    changed: '400',
  }),
  row('POST /auth/forgot-password', 'nobody', 200, 'forgotten', body({ email: 'new@example.com' })),
  row('POST /auth/reset-password', 'nobody', 200, 'the link of that mail', {
    made: mailed('new@example.com', 'reset-password'),
    ...body({ token: '{token}', new_password: 'another four unusual words' }),
    body: { message: 'Password reset successfully. You can now login with your new password.' },
  }),
  row('POST /auth/reset-password', 'nobody', 400, 'the same link again', body({ token: '{token}', new_password: password })),
  row('PUT /auth/locale', 'ada', 200, 'the language of mails', { ...body({ locale: 'pt' }), body: { locale: 'pt' } }),
  row('POST /auth/change-email', 'ada', 200, 'a new address, to be confirmed', {
    ...body({ current_password: PASSWORD, new_email: 'ada2@example.com' }),
  }),
  row('POST /auth/change-email', 'ada', 400, 'not the password', body({ current_password: 'not it', new_email: 'a3@example.com' })),
  row('POST /auth/confirm-email-change', 'nobody', 200, 'the link of that mail', {
    made: mailed('ada@example.com', 'change-email'),
    ...body({ token: '{token}' }),
  }),
  row('POST /auth/confirm-email-change', 'nobody', 400, 'the same link again', body({ token: '{token}' })),
])

export const signIns = table('Beyond: sign-ins', [
  row('POST /auth/login', 'nobody', 200, 'a refresh token beside the access token', {
    ...body({ email: 'ada@example.com', password: PASSWORD }),
    keep: { refresh: 'refresh_token' },
  }),
  row('POST /auth/refresh', 'nobody', 200, 'a new pair', {
    ...body({ refresh_token: '{refresh}' }),
    unaudited: 'the sign-in goes on; a token that is used again is audited: tests/security/refresh.test.ts',
    body: { access_token: text, refresh_token: text, token_type: 'bearer' },
  }),
  row('POST /auth/refresh', 'nobody', 401, 'no token of ours', body({ refresh_token: 'nothing' })),
  row('GET /auth/sessions', 'ada', 200, 'where one is signed in', { keep: { first: '0.id', second: '1.id' } }),
  row('DELETE /auth/sessions/{first}', 'ada', 204, 'one of them ends'),
  row('DELETE /auth/sessions/{unknown}', 'ada', 404, 'none of them'),
  row('POST /auth/logout', 'bob', 204, 'signed out'),
  row('POST /auth/me', 'bob', 401, 'and the token is over', { changed: '200 until it expires' }),
  row('POST /auth/logout-all', 'admin', 204, 'signed out everywhere'),
  row('GET /clients/', 'admin', 401, 'and the token is over'),
])

export const secondFactors = table('Beyond: second factors', [
  row('GET /auth/mfa', 'ada', 200, 'none yet', { body: { totp: false } }),
  row('POST /auth/mfa/totp/confirm', 'ada', 404, 'nothing to be confirmed', body({ code: '123456' })),
  row('DELETE /auth/mfa/totp', 'ada', 404, 'none to be taken off', body({ current_password: PASSWORD, code: '123456' })),
  row('POST /auth/mfa/recovery-codes', 'ada', 404, 'none to have codes for', body({ current_password: PASSWORD, code: '123456' })),
  row('POST /auth/mfa/totp', 'ada', 400, 'not the password', body({ current_password: 'not it' })),
  row('POST /auth/mfa/totp', 'ada', 200, 'a secret for the device', {
    ...body({ current_password: PASSWORD }),
    keep: { secret: 'secret' },
  }),
  row('POST /auth/mfa/totp/confirm', 'ada', 400, 'a wrong code', body({ code: '000000' })),
  row('POST /auth/mfa/totp/confirm', 'ada', 200, 'its code', {
    made: deviceCode,
    ...body({ code: '{code}' }),
    keep: { recovery: 'recovery_codes.0' },
  }),
  row('POST /auth/mfa/totp/confirm', 'ada', 409, 'confirmed already', body({ code: '{code}' })),
  row('POST /auth/mfa/totp', 'ada', 409, 'there is one', body({ current_password: PASSWORD })),
  row('POST /auth/login', 'nobody', 403, 'the password alone', {
    ...body({ email: 'ada@example.com', password: PASSWORD }),
    keep: { mfa: 'mfa_token' },
  }),
  row('POST /auth/login/mfa', 'nobody', 400, 'no token of ours', body({ mfa_token: 'nothing', code: '123456' })),
  row('POST /auth/login/mfa', 'nobody', 401, 'a wrong code', body({ mfa_token: '{mfa}', code: '000000' })),
  row('POST /auth/login/mfa', 'nobody', 200, 'and the code', {
    made: deviceCode,
    ...body({ mfa_token: '{mfa}', code: '{code}' }),
    body: { access_token: text },
  }),
  row('POST /auth/mfa/recovery-codes', 'ada', 200, 'new codes', {
    made: deviceCode,
    ...body({ current_password: PASSWORD, code: '{code}' }),
  }),
  row('DELETE /auth/mfa/totp', 'ada', 204, 'taken off', { made: deviceCode, ...body({ current_password: PASSWORD, code: '{code}' }) }),
  row('POST /auth/mfa/totp', 'ada', 200, 'begun anew', { ...body({ current_password: PASSWORD }), keep: { secret: 'secret' } }),
  row('POST /auth/mfa/totp/confirm', 'ada', 200, 'and confirmed', { made: deviceCode, ...body({ code: '{code}' }) }),
  row('DELETE /admin/users/{adas_user}/second-factor', 'admin', 204, 'taken off by an admin'),
  row('DELETE /admin/users/{adas_user}/second-factor', 'admin', 404, 'there is none any more'),
])

export const people = table('Beyond: members, invitations, machine keys', [
  row('GET /clients/{ada}/members', 'ada', 200, 'oneself'),
  row('POST /clients/{ada}/invitations', 'ada', 201, 'somebody', {
    ...body({ email: 'sam@example.com', role: 'member' }),
    keep: { invitation: 'id' },
  }),
  row('POST /clients/{ada}/invitations', 'ada', 409, 'a member already', body({ email: 'ada@example.com', role: 'member' })),
  row('GET /clients/{ada}/invitations', 'ada', 200, 'the open ones', { keep: { invitation: '0.id' } }),
  row('POST /auth/accept-invitation', 'nobody', 201, 'accepted', {
    made: invitationToken,
    ...body({ token: '{token}', name: 'Sam', password }),
    keep: { sam: 'id' },
  }),
  row('POST /auth/accept-invitation', 'nobody', 400, 'once', body({ token: '{token}', name: 'Sam', password })),
  row('POST /clients/{bob}/invitations', 'bob', 201, 'somebody who has an account elsewhere', {
    ...body({ email: 'sam@example.com', role: 'member' }),
    keep: { invitation: 'id' },
  }),
  row('POST /auth/accept-invitation', 'nobody', 409, 'one account, one client', {
    made: invitationToken,
    ...body({ token: '{token}', name: 'Sam', password }),
  }),
  row('DELETE /clients/{bob}/invitations/{invitation}', 'bob', 204, 'withdrawn'),
  row('DELETE /clients/{bob}/invitations/{invitation}', 'bob', 404, 'gone'),
  row('PUT /clients/{ada}/members/{sam}', 'ada', 200, 'another role', { ...body({ role: 'viewer' }), body: { role: 'viewer' } }),
  row('PUT /clients/{ada}/members/{adas_user}', 'ada', 409, 'the last owner', body({ role: 'viewer' })),
  row('DELETE /clients/{ada}/members/{adas_user}', 'ada', 409, 'the last owner'),
  row('DELETE /clients/{ada}/members/{sam}', 'ada', 204, 'removed'),
  row('POST /admin/users/{unknown}/activate', 'admin', 404, 'nobody'),
  row('POST /admin/users/{bobs_user}/unlock', 'admin', 200, 'attempts forgotten'),
  row('DELETE /admin/users/{bobs_user}', 'admin', 204, 'switched off'),
  row('POST /admin/users/{bobs_user}/activate', 'admin', 200, 'and on again', { body: { is_active: true } }),
  row('GET /clients/{ada}/security', 'ada', 200, 'what the client asks for', { body: { require_second_factor: false } }),
  row('PUT /clients/{ada}/security', 'ada', 200, 'as it is', body({ require_second_factor: false })),
  row('POST /clients/{ada}/machine-keys', 'ada', 201, 'a key', {
    ...body({ name: 'program', scopes: ['chat'] }),
    keep: { key: 'id', value: 'key' },
  }),
  row('POST /clients/{unknown}/machine-keys', 'admin', 404, 'for no client', {
    ...body({ name: 'program', scopes: ['chat'] }),
    says: 'Client not found',
  }),
  row('GET /clients/{ada}/machine-keys', 'ada', 200, 'the list'),
  row('POST /clients/{ada}/machine-keys/{key}/rotate', 'ada', 200, 'a new value', { ...body({}), body: { id: '{key}' } }),
  row('DELETE /clients/{ada}/machine-keys/{key}', 'ada', 204, 'revoked'),
  row('POST /clients/{ada}/impersonate', 'admin', 200, 'as somebody'),
  row('GET /admin/impersonations', 'admin', 200, 'who acts as whom', { keep: { impersonation: '0.id' } }),
  row('DELETE /admin/impersonations/{impersonation}', 'admin', 204, 'ended'),
  row('DELETE /admin/impersonations/{unknown}', 'admin', 404, 'none'),
])
