import { ConnectionLost, isConflict, isLostConnection, outcomeUnknown, toCallerError } from './failures'
import type { Company, Pool } from './pool'
import { MAX_RETRIES, pauseBeforeRetry, RECONNECT_WITHIN_MS } from './retry'
import type { Runner } from './session'
import type { StatementFacts } from './statements'

const QUICK_MS = 5
const SLOW_MS = 100

/**
 * Runs single statements on whatever connection is free. One that the server cannot have seen, or that changes nothing, is tried once more when its
 * connection goes away; one that lost against another change is tried again as a transaction is.
 */
export const createStatementRunner = (pool: Pool, factsOf: (text: string) => StatementFacts): Runner => ({
  async run(text, parameters, shape) {
    const facts = factsOf(text)
    const { isRead, named } = facts
    const startedAt = performance.now()
    let company: Company = isRead ? companyOf(facts) : 'alone'
    for (let retries = 0; ; retries++) {
      const connection = await pool.lease(company)
      const sentAt = performance.now()
      let failure: unknown
      try {
        const result = await connection.run(text, parameters, shape, named)
        facts.bestMs = Math.min(performance.now() - sentAt, facts.bestMs * 1.01 + 0.01)
        return result
      } catch (error) {
        failure = error
      } finally {
        pool.release(connection)
      }
      if (failure instanceof ConnectionLost && failure.reason === 'stalled') {
        company = 'alone'
        continue
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

/** Quick reads go out together; a slow one, or one not known yet, shall keep nobody waiting. */
function companyOf({ bestMs }: StatementFacts): Company {
  if (bestMs < QUICK_MS) return 'welcome'
  return bestMs < SLOW_MS ? 'when-busy' : 'alone'
}
