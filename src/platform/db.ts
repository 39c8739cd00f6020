import { PgDialect } from 'drizzle-orm/pg-core'
import { toCallerError } from './db/failures'
import { Pool } from './db/pool'
import { MAX_RETRIES, pauseBeforeRetry, RECONNECT_WITHIN_MS } from './db/retry'
import { createDrizzle } from './db/session'
import { createStatementRunner } from './db/statement-runner'
import { createStatementFacts } from './db/statements'
import { parseTarget, type TlsSetting } from './db/target'
import { tenantPrelude } from './db/tenant-scope'
import { type Isolation, Transaction } from './db/transaction'
import type { Log } from './log'

export { sqlState } from './db/failures'
export { loneTransaction } from './db/lone-transaction'
export { onDb, prepareSql } from './db/session'
export type { TlsSetting } from './db/target'
export { bindTenant, inRequestScope, inTenantScope } from './db/tenant-scope'

/** Drizzle's query builder, on the pool or inside a transaction: functions that take a `Db` first serve both. */
export type Db = Omit<ReturnType<typeof createDrizzle>, 'transaction'>

/** One statement, begun by the call: `send(() => tx.insert(…))`. */
export type Send = (start: () => PromiseLike<unknown>) => Promise<void>

export interface Database {
  /**
   * For single statements, each on a connection of its own. One that changes nothing is tried once more when its connection goes away.
   * A function that changes something without saying so (`select f()`) belongs into a transaction: it would be called twice.
   */
  db: Db
  /**
   * Commits what `work` does through its `tx`, or nothing of it. **`work` may run up to four times**: again after a deadlock or a serialization
   * failure, and when the connection went away before COMMIT was sent. So it must be repeatable: nothing but SQL, and no change of what it closes over.
   * It must not use `Database.db`, which would take a second connection while it holds one.
   * `send` begins a statement whose answer nobody needs: the next one, or COMMIT, goes out with it. If it fails, so does the transaction.
   * @throws DomainError `dependency-unavailable`; when its detail says so, the outcome is unknown because the connection broke between COMMIT and its
   * answer, and a retry with the same Idempotency-Key gives the real result. Constraint violations pass through: see `sqlState`.
   * `byIndex`, for what picks rows by their ids only: a plan that is kept from when a table was small does not walk through it once it has grown.
   */
  transaction<T>(work: (tx: Db, send: Send) => Promise<T>, options?: { isolation?: Isolation; byIndex?: boolean }): Promise<T>
  /**
   * Whether the database answers, asked on a connection of its own when all others are busy: a full pool is no dead database.
   * `read-only`: it answers, and refuses changes, as a primary does that has become a standby.
   */
  ping(timeoutMs: number): Promise<DatabaseState>
  /** Refuses new calls and waiting ones, lets running ones finish (bounded by their deadlines), disconnects. */
  close(): Promise<void>
  stats(): { open: number; busy: number; waiting: number }
}

export type DatabaseState = 'ok' | 'read-only' | 'down'

export interface DatabaseOptions {
  /** `postgres://user:password@host1:port,host2:port/database?sslmode=…&target_session_attrs=…` */
  url: string
  poolSize: number
  /** False behind PgBouncer in transaction mode. The server then learns the statement timeout in transactions only; single statements are cancelled by us. */
  prepare: boolean
  /** Kept by the server and, with a small margin, by us: a statement, or a pause between two statements of a transaction, never takes longer. */
  statementTimeoutMs: number
  connectTimeoutMs: number
  acquireTimeoutMs: number
  /** `auto`: off for loopback addresses and Unix sockets, else `require`. `sslmode` in the URL wins. */
  tls: TlsSetting
  /** Whether statements of a tenant's request or run carry the tenant's role, so that the database itself keeps to the tenant's rows. */
  rls?: 'off' | 'enforce'
  applicationName: string
  log: Log
}

/**
 * PostgreSQL through postgres.js and Drizzle, with every wait bounded. Connects when first asked. A connection that breaks, or whose server falls
 * silent, is replaced by a new one; while there is no server, calls fail at once with `dependency-unavailable` and one attempt at a time looks for it.
 */
export function createDatabase({ url, tls, poolSize, rls, ...options }: DatabaseOptions): Database {
  const pool = new Pool({ ...options, target: parseTarget(url, tls), size: poolSize })
  const factsOf = createStatementFacts(options.prepare)
  const dialect = new PgDialect()
  const prelude = rls === 'enforce' ? tenantPrelude : () => undefined
  const statements = createStatementRunner(pool, factsOf, prelude)
  let asking: Promise<DatabaseState> | undefined

  const ask = async (): Promise<DatabaseState> => {
    try {
      // Whoever is busy was let in to write.
      if (pool.isExhausted) return await pool.tryExtra().then(() => 'ok')
      const [session] = await statements.run(`select current_setting('transaction_read_only') as readonly`, [], 'rows')
      return session?.readonly === 'on' ? 'read-only' : 'ok'
    } catch {
      return 'down'
    }
  }

  function attempt<T>(
    transaction: Transaction,
    work: (tx: Db, send: Send) => Promise<T>,
    isolation: Isolation | undefined,
    byIndex: boolean,
  ): Promise<T> {
    const settings = [byIndex ? 'set local enable_seqscan = off' : undefined, prelude()].filter((text) => text !== undefined)
    return transaction.whole([isolation, options.prepare ? undefined : options.statementTimeoutMs, settings], () =>
      work(createDrizzle(dialect, transaction), (start) => transaction.send(start)),
    )
  }

  return {
    db: createDrizzle(dialect, statements),

    async transaction(work, { isolation, byIndex = false } = {}) {
      const startedAt = performance.now()
      for (let retries = 0; ; retries++) {
        const connection = await pool.lease('alone')
        const transaction = new Transaction(connection, factsOf)
        try {
          return await attempt(transaction, work, isolation, byIndex)
        } catch (error) {
          const { failedBy, failure } = transaction
          if (!failedBy) throw toCallerError(error)
          const inTime = failedBy === 'conflict' || performance.now() - startedAt < RECONNECT_WITHIN_MS
          if (!inTime || retries === MAX_RETRIES) throw toCallerError(failure)
        } finally {
          pool.release(connection)
        }
        await pauseBeforeRetry(retries)
      }
    },

    async ping(timeoutMs) {
      asking ??= ask().finally(() => {
        asking = undefined
      })
      const patience = Promise.withResolvers<DatabaseState>()
      const timer = setTimeout(() => patience.resolve('down'), timeoutMs)
      return Promise.race([asking, patience.promise]).finally(() => clearTimeout(timer))
    },

    close: () => pool.close(),
    stats: () => pool.stats(),
  }
}
