import type { BudgetScope } from '~/features/usage/table'
import type { Clock } from '~/platform/clock'
import type { Db } from '~/platform/db'
import type { Log } from '~/platform/log'
import { patiently } from '~/platform/patience'
import { RunTakenOver } from './live-log'
import { releaseReservation, reserve } from './queries/budgets'
import type { OwnedRun } from './queries/owned'

/** Whose money a run spends. */
export interface Spender {
  id: string
  clientId: string
  agentId: string
  sessionId: string
}

export type ReserveAnswer =
  | { verdict: 'taken-over' }
  /** No budget limits this. */
  | { verdict: 'free' }
  | { verdict: 'reserved' }
  /** `othersHold`: some of what is missing is set aside for calls under way, and may come back. */
  | { verdict: 'refused'; scopes: BudgetScope[]; othersHold: boolean }

/** Keeps runs within their budgets, whichever process they are in: PostgreSQL decides, in one statement for all budgets of a call. */
export interface BudgetGuard {
  /** @throws RunTakenOver */
  reserve(spender: OwnedRun, stepKey: string, amountNanos: () => number): Promise<Exclude<ReserveAnswer, { verdict: 'taken-over' }>>
  release(spender: OwnedRun, stepKey: string, how: { spentNanos: number }): Promise<void>
}

/** How long it is taken for granted that a run without a budget has none. */
const FREE_MS = 2000
/** How long a run waits for the database, as for its other writes. */
const PATIENCE_MS = 60_000

/** For one run. */
export function createBudgetGuard({
  db,
  clock,
  log,
  isFree = false,
  committed,
}: {
  db: Db
  clock: Clock
  log: Log
  /** It was just found that no budget limits the run. */
  isFree?: boolean
  /** The run is there for others to see: money is set aside for no other. */
  committed?: Promise<void> | undefined
}): BudgetGuard {
  let freeUntil = isFree ? clock.now() + FREE_MS : 0
  return {
    async reserve(spender, stepKey, amountNanos) {
      if (clock.now() < freeUntil) return { verdict: 'free' }
      await committed
      // What a try that was cut off may have set aside counts as spent, as it would if the run failed of it.
      const answer = await patiently(() => reserve(db, spender, { stepKey, amountNanos: amountNanos() }), {
        clock,
        signal: AbortSignal.timeout(PATIENCE_MS),
        onFirst: (error) => log.warn('the database is away, a run waits', { run_id: spender.id, error }),
      })
      if (answer.verdict === 'taken-over') throw new RunTakenOver(spender.id)
      if (answer.verdict === 'free') freeUntil = clock.now() + FREE_MS
      return answer
    },
    release: (spender, stepKey, { spentNanos }) => releaseReservation(db, spender, { stepKey, spentNanos }),
  }
}
