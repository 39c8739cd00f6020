import { ConnectionLost, isConflict, isLostConnection, outcomeUnknown, toCallerError } from './failures'
import type { Pool } from './pool'
import { MAX_RETRIES, pauseBeforeRetry, RECONNECT_WITHIN_MS } from './retry'
import type { Runner } from './session'
import type { StatementFacts } from './statements'

/**
 * Runs single statements on whatever connection is free. One that the server cannot have seen, or that changes nothing, is tried once more when its
 * connection goes away; one that lost against another change is tried again as a transaction is.
 */
export const createStatementRunner = (pool: Pool, factsOf: (text: string) => StatementFacts): Runner => ({
  async run(text, parameters, shape) {
    const { isRead, named } = factsOf(text)
    const startedAt = performance.now()
    for (let retries = 0; ; retries++) {
      const connection = await pool.lease(isRead)
      let failure: unknown
      try {
        return await connection.run(text, parameters, shape, named)
      } catch (error) {
        failure = error
      } finally {
        pool.release(connection)
      }
      if (isConflict(failure) && retries < MAX_RETRIES) {
        await pauseBeforeRetry(retries)
        continue
      }
      const isHarmless = failure instanceof ConnectionLost && (isRead || !failure.sent)
      const isYoung = retries === 0 && performance.now() - startedAt < RECONNECT_WITHIN_MS
      if (isHarmless && isLostConnection(failure) && isYoung) continue
      throw failure instanceof ConnectionLost && !isHarmless ? outcomeUnknown(failure) : toCallerError(failure)
    }
  },
})
