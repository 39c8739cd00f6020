import type { Connection, Result, Shape } from './connection'
import { ConnectionLost, isConflict, isConsequence, isLostConnection, outcomeUnknown, sqlState } from './failures'
import type { Runner } from './session'
import type { StatementFacts } from './statements'

export type Isolation = 'read committed' | 'repeatable read' | 'serializable'

/** One attempt of a transaction on a leased connection. It keeps its own record of what failed, for the work may hide an error or wrap it. */
export class Transaction implements Runner {
  /** The first statement's error: later ones only follow from it. */
  failure: unknown
  private over = false
  private sent = 0
  /** BEGIN's answer, until the first statement's has come behind it. */
  private begun: Promise<Result> | undefined
  /** Of statements that nobody waits for. */
  private readonly unawaited: Promise<unknown>[] = []

  constructor(
    private readonly connection: Connection,
    private readonly factsOf: (text: string) => StatementFacts,
  ) {}

  /** Goes out together with the first statement, whose answer tells about both. `preludes`: further statements without parameters that go out with it. */
  begin(isolation: Isolation | undefined, localStatementTimeoutMs: number | undefined, preludes: string[]) {
    const begin = isolation ? `begin isolation level ${isolation}` : 'begin'
    const limits = localStatementTimeoutMs === undefined ? [] : [`set local statement_timeout = ${localStatementTimeoutMs}`]
    this.begun = this.connection.run([begin, ...limits, ...preludes].join('; '), [], 'rows', false)
    this.begun.catch((error: unknown) => {
      this.failure ??= error
    })
  }

  /** All that `work` does, or nothing of it: begins, and ends in COMMIT or ROLLBACK. @throws what `work` threw, or see `commit` */
  async whole<T>(begin: Parameters<Transaction['begin']>, work: () => Promise<T>): Promise<T> {
    try {
      this.begin(...begin)
      const result = await work()
      await this.commit()
      return result
    } catch (error) {
      await this.rollback()
      throw error
    }
  }

  async run(text: string, parameters: unknown[], shape: Shape): Promise<Result> {
    if (this.over) throw new Error('The transaction is over')
    try {
      const answer = this.connection.run(text, parameters, shape, this.factsOf(text).named)
      this.sent++
      return await (this.begun === undefined ? answer : this.behind(this.begun, answer))
    } catch (error) {
      this.failure ??= error
      // The one that failed may be one that nobody waits for: callers look for its error, not for what follows from it.
      throw isConsequence(error) ? this.failure : error
    }
  }

  /**
   * Begins one statement and does not wait for its answer, so that the next one, or COMMIT, goes out with it. If it fails, so does the transaction.
   * @throws what kept it from being sent
   */
  async send(start: () => PromiseLike<unknown>): Promise<void> {
    const before = this.sent
    const answer = Promise.resolve(start().then((result) => result))
    if (this.sent !== before + 1) return void (await answer)
    this.unawaited.push(answer)
    // It is told by COMMIT's answer.
    answer.catch(() => undefined)
  }

  private async behind(begun: Promise<Result>, answer: Promise<Result>): Promise<Result> {
    const [beginning, outcome] = await Promise.allSettled([begun, answer])
    this.begun = undefined
    if (beginning.status === 'fulfilled') return answer
    // Without BEGIN the statement stood alone, and what it changed stays.
    if (outcome.status === 'fulfilled') this.connection.end()
    throw outcome.status === 'fulfilled' ? outcomeUnknown(beginning.reason) : beginning.reason
  }

  /** @throws DomainError when the outcome is unknown; whatever else is thrown, nothing was kept. */
  async commit() {
    this.over = true
    try {
      const { command } = await this.connection.run('commit', [], 'rows', false)
      await Promise.all(this.unawaited)
      // A statement failed and the work went on regardless: the server answers COMMIT with a rollback.
      if (command !== 'COMMIT') throw this.failure ?? new Error(`COMMIT was answered with ${command}`)
    } catch (error) {
      const refused = (await Promise.allSettled(this.unawaited)).find(
        (outcome) => outcome.status === 'rejected' && sqlState(outcome.reason),
      )
      if (refused === undefined && error instanceof ConnectionLost && error.sent) throw outcomeUnknown(error)
      // What the server refused before it came to COMMIT undoes all of it, though the connection went with it.
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
