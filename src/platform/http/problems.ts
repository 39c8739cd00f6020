import type { TSchema } from '@sinclair/typebox'
import { Value, type ValueError } from '@sinclair/typebox/value'
import { Elysia, InvalidCookieSignature, NotFoundError, ParseError, type Static, t, ValidationError } from 'elysia'
import { DomainError, type ProblemName, sentenceOf } from '../errors'
import { type Log, redactText } from '../log'
import { toFieldErrors } from './field-errors'
import { newTraceId, originOf } from './origin'

/** The one place that knows which status and title a problem has. Each name has a page at /problems/{name}. */
export const PROBLEMS: Record<ProblemName, { status: number; title: string; meaning: string }> = {
  'malformed-request': { status: 400, title: 'Malformed request', meaning: 'The body, the path or a header cannot be parsed.' },
  'invalid-request': { status: 400, title: 'Invalid request', meaning: 'More than one credential was sent (RFC 6750). Send exactly one.' },
  'not-possible': {
    status: 400,
    title: 'Not possible',
    meaning: 'The request is understood and you may make it, but not about this very thing. `detail` says why.',
  },
  'invalid-one-time-token': {
    status: 400,
    title: 'Invalid link',
    meaning: 'The link of the mail is unknown, used, expired or of another kind. Ask for a new one.',
  },
  'incorrect-password': {
    status: 400,
    title: 'Incorrect password',
    meaning: 'The current password, asked for before a change, is wrong. You stay signed in.',
  },
  'incorrect-code': {
    status: 400,
    title: 'Incorrect code',
    meaning: 'The code of the second factor is wrong, was used already, or its time is over. You stay signed in.',
  },
  unauthenticated: {
    status: 401,
    title: 'Not authenticated',
    meaning: 'This route needs a credential: `Authorization: Bearer <token>` from /api/v1/auth/login.',
  },
  'invalid-token': {
    status: 401,
    title: 'Invalid token',
    meaning: 'The access token was refused: expired, revoked, or not one of ours. Sign in again.',
  },
  'invalid-credentials': { status: 401, title: 'Invalid credentials', meaning: 'Email or password is wrong.' },
  'invalid-api-key': { status: 401, title: 'Invalid API key', meaning: 'The key in `x-api-key` does not open this agent.' },
  'invalid-signature': { status: 401, title: 'Invalid signature', meaning: 'The signature of a webhook does not fit its body.' },
  'email-not-verified': {
    status: 403,
    title: 'Email not verified',
    meaning: 'The password is right, but the address has not been verified yet.',
  },
  'account-inactive': { status: 403, title: 'Account inactive', meaning: 'The password is right, but the account is switched off.' },
  'second-factor-required': {
    status: 403,
    title: 'Second factor required',
    meaning:
      'At a sign-in: the password is right; send `mfa_token` with a code to /api/v1/auth/login/mfa. Elsewhere: this account must have a second factor; set one up with /api/v1/auth/mfa/totp.',
  },
  forbidden: { status: 403, title: 'Forbidden', meaning: 'You are signed in, but not allowed to do this or to name this client.' },
  'not-found': { status: 404, title: 'Not found', meaning: 'There is no such thing here, or it belongs to somebody else.' },
  'method-not-allowed': {
    status: 405,
    title: 'Method not allowed',
    meaning: 'The path exists, but not with this method. `Allow` names those that do.',
  },
  conflict: { status: 409, title: 'Conflict', meaning: 'The request collides with what is there already.' },
  'idempotency-in-progress': {
    status: 409,
    title: 'Still in progress',
    meaning: 'A request with this Idempotency-Key is being worked on. Try again shortly.',
  },
  'precondition-failed': {
    status: 412,
    title: 'Precondition failed',
    meaning: 'It has been changed since you read it: the `ETag` is not that of `If-Match` any more. Read it again.',
  },
  'payload-too-large': { status: 413, title: 'Payload too large', meaning: 'The body is larger than this route takes.' },
  'unsupported-media-type': { status: 415, title: 'Unsupported media type', meaning: 'Send the body as `Content-Type: application/json`.' },
  'misdirected-request': {
    status: 421,
    title: 'Misdirected request',
    meaning: 'This server does not answer for the `Host` of the request. The operator lists hosts in ALLOWED_HOSTS.',
  },
  'validation-failed': {
    status: 422,
    title: 'Validation failed',
    meaning:
      'Something in the request breaks a rule. `errors` says what and where. Besides what the schemas say: texts hold no control characters but tab and line breaks, and no half surrogates; bodies are nested 32 levels deep at most; no name is `__proto__` or `toString`.',
  },
  'url-not-allowed': {
    status: 422,
    title: 'URL not allowed',
    meaning: 'The server does not call this address: only public http(s) addresses, or those that the operator allows.',
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'Idempotency key reused',
    meaning: 'This Idempotency-Key was used for a different request.',
  },
  'rate-limited': { status: 429, title: 'Too many requests', meaning: 'Slow down; `Retry-After` says for how long.' },
  'too-many-attempts': {
    status: 429,
    title: 'Too many attempts',
    meaning: 'Too many failed attempts; `Retry-After` says when to try again.',
  },
  internal: { status: 500, title: 'Internal error', meaning: 'Something failed on our side. Quote the `trace_id` when you report it.' },
  'upstream-error': {
    status: 502,
    title: 'Upstream error',
    meaning: 'A model provider, tool or remote agent failed or answered with an error.',
  },
  overloaded: { status: 503, title: 'Overloaded', meaning: 'The server has more work than it can do now. Try again after `Retry-After`.' },
  'dependency-unavailable': {
    status: 503,
    title: 'Dependency unavailable',
    meaning: 'A store that this request needs does not answer. Try again after `Retry-After`.',
  },
  'secret-unavailable': { status: 503, title: 'Secret unavailable', meaning: 'A stored secret cannot be decrypted with the keys at hand.' },
  'upstream-timeout': { status: 504, title: 'Upstream timeout', meaning: 'A model provider, tool or remote agent did not answer in time.' },
  'run-cancelled': { status: 409, title: 'Run cancelled', meaning: 'The run was cancelled before it came to its end.' },
  'limit-exceeded': {
    status: 422,
    title: 'Limit exceeded',
    meaning: 'The run was stopped at a limit: steps, depth, branches or passes of a loop. `detail` says which.',
  },
  'budget-exhausted': {
    status: 402,
    title: 'Budget exhausted',
    meaning: 'The run has used up what it may cost, or what is left of a budget is less than its next step may cost.',
  },
}

/** Each problem gets a retry hint if it may pass by itself. */
const RETRY_AFTER: Partial<Record<ProblemName, number>> = {
  'rate-limited': 1,
  'too-many-attempts': 60,
  overloaded: 1,
  'dependency-unavailable': 2,
  'secret-unavailable': 30,
  'idempotency-in-progress': 1,
}

export type Problem = Static<typeof Problem>
export const Problem = t.Object(
  {
    type: t.String({ description: 'URL of a page that explains the problem; clients switch on its last part.' }),
    title: t.String(),
    status: t.Integer(),
    detail: t.String(),
    message: t.String({ description: 'The same as detail.' }),
    instance: t.String(),
    trace_id: t.String(),
    mfa_token: t.Optional(t.String({ description: 'Of `second-factor-required` at a sign-in: for the second step, within five minutes.' })),
    errors: t.Optional(t.Array(t.Object({ pointer: t.String(), code: t.String(), message: t.String() }))),
  },
  { title: 'Problem', description: 'RFC 9457 problem details.' },
)

export interface ProblemSettings {
  apiUrl: string
  log: Log
  /** What a problem says besides in the protocol of its route: RFC 9457 lets it have members of its own. `body` is undefined where none was read. */
  extend?: (failure: DomainError, request: { method: string; path: string; body: unknown }) => object | undefined
}

/** The app's first plugin after the gate: an error hook does not reach routes registered before it. */
export const problems = ({ apiUrl, log, extend }: ProblemSettings) =>
  new Elysia({ name: 'problems' }).onError({ as: 'global' }, ({ error, set, request, body: sent }) => {
    const { failure, body, headers } = describeProblem(error, { apiUrl, request, log })
    // Always set: Elysia trusts a `status` on any thrown error, an SDK's included.
    set.status = body.status
    Object.assign(set.headers, headers)
    return { ...body, ...extend?.(failure, { method: request.method, path: pathOf(request.url), body: sent }) }
  })

/** Bun's last resort: for what escapes from Elysia's own error handling, when the request is not known any more. */
export function lastResort(error: unknown, { apiUrl, log }: { apiUrl: string; log: Log }): Response {
  const traceId = newTraceId()
  const body = problemDocument(new DomainError('internal', INTERNAL_DETAIL), { apiUrl, instance: '/', traceId })
  log.error('escaped from the app', { trace_id: traceId, error })
  return new Response(JSON.stringify(body), { status: body.status, headers: { ...PROBLEM_HEADERS, 'x-request-id': traceId } })
}

const INTERNAL_DETAIL = 'Something failed on our side.'
const PROBLEM_HEADERS = { 'content-type': 'application/problem+json', 'cache-control': 'no-store' }

function describeProblem(error: unknown, { apiUrl, request, log }: { apiUrl: string; request: Request; log: Log }) {
  const failure = toDomainError(error)
  const origin = originOf(request)
  // Redacted: the path of a mail's link holds its token.
  const body = problemDocument(failure, { apiUrl, instance: redactText(pathOf(request.url)), traceId: origin.traceId })
  if (body.status >= 500) log.error(failure.problem, { trace_id: origin.traceId, method: request.method, path: body.instance, error })
  const retryAfter = failure.retryAfterSeconds ?? RETRY_AFTER[failure.problem]
  const headers: Record<string, string> = {
    ...PROBLEM_HEADERS,
    ...(retryAfter === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(retryAfter))) }),
    ...challenge(failure.problem),
    ...failure.headers,
  }
  return { failure, body, headers }
}

/** The problem object alone, for failures that travel inside a stream or a run. */
export function problemDocument(
  failure: DomainError,
  { apiUrl, instance, traceId }: { apiUrl: string; instance: string; traceId: string },
): Problem {
  const { status, title } = PROBLEMS[failure.problem]
  return {
    type: `${apiUrl}/problems/${failure.problem}`,
    title,
    status,
    detail: failure.message,
    message: failure.message,
    instance,
    trace_id: traceId,
    ...(failure.mfaToken === undefined ? {} : { mfa_token: failure.mfaToken }),
    ...(failure.errors === undefined ? {} : { errors: failure.errors }),
  }
}

/** Whatever was thrown, in the domain's words. What is unknown becomes `internal`, its text kept for the log. */
export function toDomainError(error: unknown): DomainError {
  if (error instanceof DomainError) return error
  // Elysia wraps whatever its parse hooks throw.
  if (error instanceof ParseError && error.cause instanceof DomainError) return error.cause
  if (error instanceof NotFoundError) return new DomainError('not-found', 'Not Found')
  if (error instanceof ParseError || error instanceof InvalidCookieSignature)
    return new DomainError('malformed-request', 'The request could not be parsed.', { cause: error })
  // Elysia calls a response that breaks its own schema a 422 too, but that fault is ours.
  if (error instanceof ValidationError && error.type !== 'response') return refusedFields(error)
  return new DomainError('internal', INTERNAL_DETAIL, { cause: error })
}

const PLACE: Record<string, string> = { body: '', query: '/query', params: '/path', headers: '/header', cookie: '/cookie', property: '' }

function refusedFields(error: ValidationError): DomainError {
  const errors = toFieldErrors(faultsOf(error), PLACE[error.type])
  const first = errors[0]
  const detail = first === undefined ? 'The request does not fit its schema.' : sentenceOf(first, 'body')
  return new DomainError('validation-failed', detail, { errors })
}

/** What `error.all` has, without its sentences, which hold the values. */
const faultsOf = ({ validator, value }: ValidationError): Iterable<ValueError> =>
  'Errors' in validator ? validator.Errors(value) : Value.Errors(validator as TSchema, value)

/** RFC 9110 §11.6.1: every 401 says how to do better. RFC 6750 §3.1: an error code only where a token was sent. */
function challenge(problem: ProblemName): Record<string, string> {
  if (problem === 'invalid-token') return { 'www-authenticate': 'Bearer error="invalid_token"' }
  if (problem === 'invalid-request') return { 'www-authenticate': 'Bearer error="invalid_request"' }
  return PROBLEMS[problem].status === 401 ? { 'www-authenticate': 'Bearer' } : {}
}

const BEHIND_PATH = /[?#]/

/** The path of a request URL, also where an odd Host makes the URL unparsable. */
export function pathOf(url: string): string {
  const start = url.startsWith('http') ? url.indexOf('/', url.indexOf('//') + 2) : 0
  const path = start === -1 ? '/' : url.slice(start)
  const end = path.search(BEHIND_PATH)
  return end === -1 ? path : path.slice(0, end)
}
