/**
 * What went wrong, in the domain's words: the name is the last part of the problem's `type` URL and clients switch on it.
 * Which HTTP status each name becomes is known to http/problems.ts alone.
 */
export type ProblemName =
  | 'malformed-request'
  | 'invalid-request'
  | 'not-possible'
  | 'invalid-one-time-token'
  | 'incorrect-password'
  | 'incorrect-code'
  | 'unauthenticated'
  | 'invalid-token'
  | 'invalid-credentials'
  | 'invalid-api-key'
  | 'invalid-signature'
  | 'email-not-verified'
  | 'account-inactive'
  | 'second-factor-required'
  | 'forbidden'
  | 'not-found'
  | 'method-not-allowed'
  | 'conflict'
  | 'idempotency-in-progress'
  | 'precondition-failed'
  | 'payload-too-large'
  | 'unsupported-media-type'
  | 'misdirected-request'
  | 'validation-failed'
  | 'url-not-allowed'
  | 'idempotency-key-reused'
  | 'rate-limited'
  | 'too-many-attempts'
  | 'internal'
  | 'upstream-error'
  | 'overloaded'
  | 'dependency-unavailable'
  | 'secret-unavailable'
  | 'upstream-timeout'
  | 'run-cancelled'
  | 'limit-exceeded'
  | 'budget-exhausted'

/** One refused field. `pointer` is an RFC 6901 JSON pointer into the body, or `/query/limit`, `/path/id`, `/header/x-client-id`. Never holds the value. */
export interface FieldError {
  pointer: string
  code: string
  message: string
}

/** What is said of a field that is absent: of its value the rules say nothing. */
export const ABSENT = { code: 'required', message: 'Is required' } as const

/** For a `detail`: where, and what is wrong there. `whole` names what a pointer to all of it means; without, nothing stands for it. */
export const sentenceOf = ({ pointer, message }: FieldError, whole?: string): string => {
  const place = pointer.slice(1) || whole
  return place === undefined ? message : `${place}: ${message}`
}

/** A member's name within a JSON pointer (RFC 6901, section 3), cut to `max` characters before it is escaped. */
export const pointerPart = (name: string, max = Number.POSITIVE_INFINITY) => name.slice(0, max).replaceAll('~', '~0').replaceAll('/', '~1')

export interface DomainErrorOptions {
  /** Only logged, never shown. */
  cause?: unknown
  errors?: FieldError[]
  retryAfterSeconds?: number
  /** For the second step of a sign-in: a member of the problem document. */
  mfaToken?: string
  /** Extra response headers that the problem demands, such as `Allow`. */
  headers?: Record<string, string>
}

export class DomainError extends Error {
  readonly problem: ProblemName
  readonly errors: FieldError[] | undefined
  readonly retryAfterSeconds: number | undefined
  readonly headers: Record<string, string> | undefined
  readonly mfaToken: string | undefined

  /** `detail` is shown to the client, so internals go into `cause`. */
  constructor(problem: ProblemName, detail: string, options: DomainErrorOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'DomainError'
    this.problem = problem
    this.errors = options.errors
    this.retryAfterSeconds = options.retryAfterSeconds
    this.headers = options.headers
    this.mfaToken = options.mfaToken
  }
}

/** Absent, or another client's: both are answered alike. `thing` starts with a capital: `Agent`. */
export const notFound = (thing: string) => new DomainError('not-found', `${thing} not found`)

/** What was refused of an address, with the field that it came in: who checks addresses does not know. Anything else stays as it is. */
export const inField = (pointer: string, error: unknown): unknown =>
  error instanceof DomainError && error.problem === 'url-not-allowed' && error.errors === undefined
    ? new DomainError(error.problem, error.message, { cause: error, errors: [{ pointer, code: error.problem, message: error.message }] })
    : error

/** Runs the check of a field. @throws what it throws, as `inField` has it */
export function checkField<T>(pointer: string, check: () => T): T {
  try {
    return check()
  } catch (error) {
    throw inField(pointer, error)
  }
}

/** One field refused by a rule that no schema can state. */
export const invalid = (pointer: string, code: string, message: string) =>
  new DomainError('validation-failed', message, { errors: [{ pointer, code, message }] })
