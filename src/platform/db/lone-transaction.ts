import { PgDialect } from 'drizzle-orm/pg-core'
import type { Log } from '../log'
import { Connection } from './connection'
import { ConnectionLost, serverError, unavailable } from './failures'
import { createDrizzle } from './session'
import { createStatementFacts } from './statements'
import { parseTarget, type Target, type TlsSetting } from './target'
import { Transaction } from './transaction'

export interface LoneTransactionOptions {
  /** As a `Database` has it, and read the same way: to it the same servers are given, and the same encryption is demanded. */
  url: string
  tls: TlsSetting
  connectTimeoutMs: number
  applicationName: string
  log: Log
}

type Db = Omit<ReturnType<typeof createDrizzle>, 'transaction'>

/**
 * Commits what `work` does, or nothing of it, on a connection of its own, once and however long it takes: for what nobody waits for but the operator.
 * @throws what the server said, in its own words; DomainError `dependency-unavailable` where it said nothing
 */
export async function loneTransaction<T>({ url, tls, ...options }: LoneTransactionOptions, work: (tx: Db) => Promise<T>): Promise<T> {
  try {
    const connection = await connect({ ...options, target: parseTarget(url, tls), prepare: false, statementTimeoutMs: 0 })
    try {
      const transaction = new Transaction(connection, createStatementFacts(false))
      return await transaction.whole([undefined, undefined, []], () => work(createDrizzle(new PgDialect(), transaction)))
    } finally {
      connection.end()
    }
  } catch (error) {
    throw reasonOf(error)
  }
}

async function connect(options: Parameters<typeof Connection.open>[2] & { target: Target }): Promise<Connection> {
  const { addresses, wants } = options.target
  let failure: unknown
  for (const address of addresses) {
    try {
      return await Connection.open(address, wants === 'prefer-standby' ? 'any' : wants, options)
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

function reasonOf(error: unknown): unknown {
  const said = serverError(error)
  if (said !== undefined) return said
  return error instanceof ConnectionLost || isTimeout(error) ? unavailable(error) : error
}

const isTimeout = (error: unknown) => error instanceof Error && error.name === 'TimeoutError'
