import { expect, test } from 'bun:test'
import { systemClock } from '~/platform/clock'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import { silentLog } from '~/platform/log'
import { createBudgetGuard } from './budget-guard'
import type { OwnedRun } from './queries/owned'

const run: OwnedRun = {
  id: crypto.randomUUID(),
  clientId: crypto.randomUUID(),
  agentId: crypto.randomUUID(),
  sessionId: crypto.randomUUID(),
  leaseToken: 1,
  input: { text: 'hi', files: [] },
  traceId: 'trace',
  createdAt: new Date(),
  restMs: 60_000,
  past: 'none' as const,
}

/** A database that fails as told, one failure a call, and then says that no budget limits the run. */
function failing(...failures: DomainError[]) {
  let calls = 0
  const execute = async () => {
    calls += 1
    const failure = failures.shift()
    if (failure !== undefined) throw failure
    return [{ mine: 1, budgets: 0, ok: true, refusing: null, held: false }]
  }
  // The guard asks with `execute` alone.
  return { db: { execute } as unknown as Db, calls: () => calls }
}

test.each(['overloaded', 'dependency-unavailable'] as const)(
  'a run whose database is away for a moment (%s) waits with setting money aside, instead of failing',
  async (problem) => {
    const away = () => new DomainError(problem, 'Away.')
    const { db, calls } = failing(away(), away())
    expect(await createBudgetGuard({ db, clock: systemClock, log: silentLog }).reserve(run, 'step', () => 5)).toEqual({ verdict: 'free' })
    expect(calls()).toBe(3)
  },
)
