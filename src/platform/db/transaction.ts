import type { Connection, Result, Shape } from './connection'
import { ConnectionLost, isConflict, isLostConnection, outcomeUnknown } from './failures'
import type { Runner } from './session'
import type { StatementFacts } from './statements'

export type Isolation = 'read committed' | 'repeatable read' | 'serializable'

/** One attempt of a transaction on a leased connection. It keeps its own record of what failed, for the work may hide an error or wrap it. */
export class Transaction implements Runner {
  /** The first statement's error: later ones only follow from it. */
  failure: unknown
  private over = false

  constructor(
    private readonly connection: Connection,
    private readonly factsOf: (text: string) => StatementFacts,
  ) {}

  /** `prelude`: further statements without parameters that go out with it. */
  begin(isolation: Isolation | undefined, localStatementTimeoutMs: number | undefined, prelude: string | undefined): Promise<Result> {
    const begin = isolation ? `begin isolation level ${isolation}` : 'begin'
    const limits = localStatementTimeoutMs === undefined ? '' : `; set local statement_timeout = ${localStatementTimeoutMs}`
    return this.run(begin + limits + (prelude === undefined ? '' : `; ${prelude}`), [], 'rows')
  }

  async run(text: string, parameters: unknown[], shape: Shape): Promise<Result> {
    if (this.over) throw new Error('The transaction is over')
    try {
      return await this.connection.run(text, parameters, shape, this.factsOf(text).named)
    } catch (error) {
      this.failure ??= error
      throw error
    }
  }

  /** @throws DomainError when the outcome is unknown; whatever else is thrown, nothing was kept. */
  async commit() {
    this.over = true
    try {
      const { command } = await this.connection.run('commit', [], 'rows', false)
      // A statement failed and the work went on regardless: the server answers COMMIT with a rollback.
      if (command !== 'COMMIT') throw this.failure ?? new Error(`COMMIT was answered with ${command}`)
    } catch (error) {
      if (error instanceof ConnectionLost && error.sent) throw outcomeUnknown(error)
      this.failure ??= error
      throw error
    }
  }

  /** Never throws: a connection that cannot roll back is broken, and with it the transaction. */
  async rollback() {
    this.over = true
    if (!this.connection.isBroken) await this.connection.run('rollback', [], 'rows', false).catch(() => this.connection.end())
  }

  /** Whether nothing but bad luck ended it: a conflict, or a connection lost before COMMIT was sent. */
  get failedBy(): 'conflict' | 'connection' | undefined {
    if (isConflict(this.failure)) return 'conflict'
    return isLostConnection(this.failure) ? 'connection' : undefined
  }
}
