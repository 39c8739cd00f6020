import type { Connection, Result, Shape } from './connection'
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
export const createStatementRunner = (
  pool: Pool,
  factsOf: (text: string) => StatementFacts,
  tenantPrelude: () => string | undefined,
): Runner => ({
  async run(text, parameters, shape) {
    const facts = factsOf(text)
    const { isRead, named } = facts
    const startedAt = performance.now()
    const prelude = tenantPrelude()
    let company: Company = isRead && prelude === undefined ? companyOf(facts) : 'alone'
    for (let retries = 0; ; retries++) {
      const connection = await pool.lease(company)
      const sentAt = performance.now()
      let failure: unknown
      try {
        const result = await (prelude === undefined
          ? connection.run(text, parameters, shape, named)
          : runAlone(connection, prelude, { text, parameters, shape, named }))
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

interface Sent {
  text: string
  parameters: unknown[]
  shape: Shape
  named: boolean
}

/** One statement in a transaction of its own behind `prelude`: all is sent at once, so that it costs one round trip still. */
async function runAlone(connection: Connection, prelude: string, { text, parameters, shape, named }: Sent): Promise<Result> {
  const begun = connection.run(`begin; ${prelude}`, [], 'rows', false)
  const answered = connection.run(text, parameters, shape, named)
  const committed = connection.run('commit', [], 'rows', false)
  // All have settled before the connection goes to somebody else. What failed first is why the rest did.
  for (const outcome of await Promise.allSettled([begun, answered, committed])) if (outcome.status === 'rejected') throw outcome.reason
  return answered
}

/** Quick reads go out together; a slow one, or one not known yet, shall keep nobody waiting. */
function companyOf({ bestMs }: StatementFacts): Company {
  if (bestMs < QUICK_MS) return 'welcome'
  return bestMs < SLOW_MS ? 'when-busy' : 'alone'
}
