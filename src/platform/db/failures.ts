import postgres from 'postgres'
import { DomainError } from '../errors'

/** The connection is gone, or was given up because it did not answer. */
export class ConnectionLost extends Error {
  override name = 'ConnectionLost'

  constructor(
    /** `stalled`: the connection lives, but a read was called back from behind a slow one. */
    readonly reason: 'closed' | 'deadline' | 'stalled',
    /** False: the server cannot have seen the statement, or says itself that it has kept nothing of it. */
    readonly sent: boolean,
    options?: ErrorOptions,
  ) {
    super(
      reason === 'deadline' ? 'The database did not answer before the deadline' : `The connection to the database was ${reason}`,
      options,
    )
  }
}

/** PostgreSQL's five-character code (appendix A of its manual), and the violated constraint. Found however deep the error is wrapped. */
export function sqlState(error: unknown): { code: string; constraint: string | undefined } | undefined {
  const found = serverError(error)
  return found && { code: found.code, constraint: found.constraint_name }
}

/** The server refused this statement, and the connection lives on. Anything else leaves the connection in doubt. */
export const isRefusal = (error: unknown): error is postgres.PostgresError => isAnswer(error) && !DEAD_SERVER.test(error.code)

/** The server has answered that it refuses the statement, whether or not the connection is worth anything after it. */
export const isAnswer = (error: unknown): error is postgres.PostgresError => error instanceof postgres.PostgresError && !isFatal(error)

/** The connection went away, as opposed to a server that was too slow. */
export const isLostConnection = (error: unknown): error is ConnectionLost => error instanceof ConnectionLost && error.reason === 'closed'

/** Worth another attempt of the whole transaction: nothing of it was kept. */
export function isConflict(error: unknown): boolean {
  const found = serverError(error)
  return found !== undefined && (found.code === '40001' || found.code === '40P01' || found.routine === 'RevalidateCachedQuery')
}

/** Refused only because an earlier statement of its transaction had failed. */
export const isConsequence = (error: unknown): boolean => sqlState(error)?.code === '25P02'

/** Shutdown, crash, start-up, lost server; and a standby where the primary was: a connection to it is worth nothing to us. */
const DEAD_SERVER = /^(08...|57P0[1-5]|25006)$/
/** Time-outs of the server (statement, lock) and a server without room. */
const OUT_OF_TIME = /^(57014|55P03)$/
const OUT_OF_ROOM = /^53...$/

/** What callers above see: a `DomainError` where the database is to blame, and the error itself where the statement is. */
export function toCallerError(error: unknown): unknown {
  if (error instanceof ConnectionLost) return error.reason === 'deadline' ? tooSlow(error) : unavailable(error)
  if (error instanceof DomainError) return error
  if (!(error instanceof postgres.PostgresError)) return error
  if (OUT_OF_TIME.test(error.code)) return tooSlow(error)
  if (OUT_OF_ROOM.test(error.code) || !isRefusal(error)) return unavailable(error)
  return isConflict(error) ? contended(error) : error
}

export const unavailable = (cause: unknown) =>
  new DomainError('dependency-unavailable', 'The database is not available. Try again shortly.', { retryAfterSeconds: 2, cause })

export const overloaded = () =>
  new DomainError('overloaded', 'The server has more work than it can take on. Try again shortly.', { retryAfterSeconds: 1 })

export const outcomeUnknown = (cause: unknown) =>
  new DomainError(
    'dependency-unavailable',
    'The connection to the database broke while the change was being saved, so its outcome is unknown. ' +
      'Repeat the request with the same Idempotency-Key to get the real result.',
    { retryAfterSeconds: 2, cause },
  )

const tooSlow = (cause: unknown) =>
  new DomainError('dependency-unavailable', 'The database did not answer in time. Try again shortly.', { retryAfterSeconds: 2, cause })

const contended = (cause: unknown) =>
  new DomainError('conflict', 'Other changes of the same data came first. Try again.', { retryAfterSeconds: 1, cause })

const isFatal = ({ severity }: postgres.PostgresError) => severity === 'FATAL' || severity === 'PANIC'

/** What PostgreSQL itself said, however deep it is wrapped. */
export function serverError(error: unknown): postgres.PostgresError | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++)
    if (at instanceof postgres.PostgresError) return at
  return undefined
}
