import type { Decision, RunContext } from '~/runtime/types'
import type { OwnedRun } from './queries/owned'

/** One run's questions to people. */
export interface Approvals {
  /** Asked anew at every execution; the first time it is written down. @throws RunPaused `approval` until it is decided */
  ask(stepKey: string, wanted: Parameters<RunContext['approval']>[1]): Promise<Decision>
}

export type ApprovalsOf = (run: OwnedRun) => Approvals
