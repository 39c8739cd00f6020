import { DomainError } from '~/platform/errors'
import { costNanos, mostNanos, type Prices } from '~/runtime/model/prices'
import type { ModelReply } from '~/runtime/model/types'
import { RunPaused } from '~/runtime/pause'
import type { StepSpec } from '~/runtime/types'
import type { BudgetGuard } from './budget-guard'
import type { OwnedRun } from './queries/owned'

/** What one model call used, to be written with its result. */
export interface Charge {
  model: string
  usage: ModelReply['usage']
  costNanos: number
  /** A reservation is open and settled with it. */
  isReserved: boolean
}

/** The money side of one run's model calls. */
export interface Spending {
  /**
   * Sets aside what the call may cost at most, in every budget that it falls under.
   * @throws RunPaused `budget-exhausted` when a budget has not so much left, DomainError `budget-exhausted` when the run has had its share
   */
  hold(stepKey: string, call: NonNullable<StepSpec['model']>): Promise<Hold>
}

export interface Hold {
  maxOutputTokens: number | undefined
  chargeFor(usage: ModelReply['usage']): Charge
  settled(charge: Charge | undefined): void
  /** The call failed. */
  release(how: { wasHeard: boolean }): Promise<void>
}

export interface SpendingDeps {
  run: OwnedRun
  guard: BudgetGuard
  prices: Prices
  /** Of this run, from its earlier executions. */
  usedTokens: number
  maxTokens: number
  /** Where a budget limits the run and its agent does not say. */
  defaultOutputTokens: number
}

/** While others hold money that they may not need, it is worth asking again. */
const ASK_AGAIN_MS = 1000

export function createSpending({ run, guard, prices, maxTokens, defaultOutputTokens, ...before }: SpendingDeps): Spending {
  let { usedTokens } = before
  return {
    async hold(stepKey, { id: model, mostInputTokens, mostOutputTokens }) {
      if (usedTokens >= maxTokens)
        throw new DomainError('budget-exhausted', `The run has used ${usedTokens} tokens, and may use ${maxTokens}.`)
      const price = prices.find(model)
      const outputTokens = mostOutputTokens ?? defaultOutputTokens
      const mostOf = () => mostNanos(price ?? prices.dearest, { inputTokens: mostInputTokens(), outputTokens })
      const answer = await guard.reserve(run, stepKey, mostOf)
      if (answer.verdict === 'refused')
        throw new RunPaused('budget-exhausted', answer.othersHold ? new Date(Date.now() + ASK_AGAIN_MS) : undefined, {
          budgets: answer.scopes,
        })
      const isReserved = answer.verdict === 'reserved'
      return {
        maxOutputTokens: isReserved ? outputTokens : mostOutputTokens,
        chargeFor: (usage) => ({ model, usage, isReserved, costNanos: costNanos(price ?? (isReserved ? prices.dearest : FREE), usage) }),
        settled(charge) {
          if (charge !== undefined) usedTokens += charge.usage.inputTokens + charge.usage.outputTokens
        },
        async release({ wasHeard }) {
          if (isReserved) await guard.release(run, stepKey, { spentNanos: wasHeard ? mostOf() : 0 })
        },
      }
    },
  }
}

/** Nobody has told the price, and no budget depends on it. */
const FREE = { input: 0, output: 0 }
