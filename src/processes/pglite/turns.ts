import type { Log } from '~/platform/log'
import { type ClientSettings, createClientSettings, type SettingsOwner } from './client-settings'
import type { Engine } from './engine'
import { closeStatement, endsReadyForQuery, type FrontendMessage, query, sync } from './messages'

/** A connection as the turns see it. */
export interface TurnTaker extends SettingsOwner {
  /** Names of its prepared statements, as the session knows them. */
  readonly statements: Set<string>
  /** Its messages up to the first that demands an answer; empty when none is complete. */
  nextTurn(): FrontendMessage[]
  hasTurn(): boolean
  /** True while it does not read what it was sent. */
  isClogged(): boolean
  send(answer: Buffer): void
  /** Tells it why, and closes it. */
  dismiss(code: string, message: string): void
}

export type Turns = ReturnType<typeof createTurns>

/**
 * Shares the one session among connections, as if each had its own. A turn is a simple query, or extended messages up to Flush or Sync. From
 * a Flush to the Sync, and from BEGIN to the end of the transaction, all turns are one connection's; the others wait in line.
 */
export const createTurns = ({ engine, maxIdleMs, log }: { engine: Engine; maxIdleMs: number; log: Log }) => {
  const settings: ClientSettings = createClientSettings({ engine })
  const line = new Set<TurnTaker>()
  const orphans: string[] = []
  let holder: TurnTaker | undefined
  let holderOwesSync = false
  let patience: Timer | undefined
  let lastTurnAt = 0

  /** Until nobody can go on. Synchronous, so turns never overlap. */
  const proceed = () => {
    for (;;) {
      if (!holder) dropOrphans()
      const next = holder ?? firstOf(line)
      if (!next || !line.has(next) || next.isClogged()) break
      take(next)
    }
    if (holder && line.size > 0) patience ??= setTimeout(dismissHolder, maxIdleMs)
  }

  const take = (client: TurnTaker) => {
    stopWaiting()
    line.delete(client)
    const refusal = holder === client ? undefined : settings.enter(client)
    if (refusal !== undefined) {
      log.warn('refused a connection to the embedded database for its startup settings', { refusal })
      return client.dismiss('22023', refusal)
    }
    const messages = client.nextTurn()
    const answer = engine.run(Buffer.concat(messages.map(({ bytes }) => bytes)))
    settings.observe(client, messages)
    holderOwesSync = messages.at(-1)?.endsUnit === false
    if (!holderOwesSync && !endsReadyForQuery(answer)) throw new Error('the embedded PostgreSQL broke down: its answer has no end')
    holder = holderOwesSync || engine.inTransaction() ? client : undefined
    lastTurnAt = performance.now()
    client.send(answer)
    if (client.hasTurn()) line.add(client)
  }

  const dismissHolder = () => {
    patience = undefined
    if (!holder) return
    log.warn('dismissed a connection that kept the embedded database waiting inside a transaction', { maxIdleMs })
    holder.dismiss('25P03', 'terminating connection due to idle-in-transaction timeout: others were waiting for the one session')
  }

  const stopWaiting = () => {
    clearTimeout(patience)
    patience = undefined
  }

  const dropOrphans = () => {
    if (orphans.length > 0) engine.run(Buffer.concat([...orphans.splice(0).map(closeStatement), sync]))
  }

  return {
    /** It has a turn to take, or reads again. */
    offer(client: TurnTaker) {
      if (client.hasTurn()) line.add(client)
      proceed()
    },

    /** It is gone: its transaction is rolled back and its statements are dropped. */
    leave(client: TurnTaker) {
      line.delete(client)
      if (holder === client) {
        stopWaiting()
        if (holderOwesSync) engine.run(sync)
        if (engine.inTransaction()) engine.run(query('rollback'))
        holder = undefined
      }
      orphans.push(...client.statements)
      client.statements.clear()
      settings.forget(client)
      proceed()
    },

    /** Milliseconds since the last turn; 0 while somebody holds the session or waits for it. */
    idleMs: () => (holder || line.size > 0 ? 0 : performance.now() - lastTurnAt),

    /** The server's own statement between two turns; undefined when somebody holds the session. */
    runOwn(sql: string) {
      if (holder) return undefined
      settings.enter(undefined)
      return engine.rows(sql)
    },
  }
}

function firstOf(line: Set<TurnTaker>): TurnTaker | undefined {
  for (const client of line) if (!client.isClogged()) return client
  return undefined
}
