/** Why a run cannot go on by itself for now. */
export type PauseReason = 'delay' | 'approval' | 'budget-exhausted'

/**
 * Thrown through a run to put it aside, held by no process, until `wakeAt` or until somebody has decided. What it was about to do is done by
 * whoever executes it then; what is done already comes from the journal.
 */
export class RunPaused extends Error {
  override name = 'RunPaused'
  constructor(
    readonly reason: PauseReason,
    /** When it is worth another look; undefined: only when somebody says so. */
    readonly wakeAt?: Date,
    readonly detail: Record<string, unknown> = {},
  ) {
    super(`the run waits: ${reason}`)
  }
}

/** A step of unknown outcome that must not be repeated unasked: the run waits for a decision. */
export class OutcomeUnknown extends Error {
  override name = 'OutcomeUnknown'
  constructor(readonly step: string) {
    super(`the outcome of step ${step} is unknown`)
  }
}

/** The process ends: the run is left as it stands, for another one to go on with. */
export class HandedOver extends Error {
  override name = 'HandedOver'
}

/** The run is put aside, not over: what goes on beside it is brought to an end first, so that no effect is cut off. */
export const isPause = (error: unknown): boolean =>
  error instanceof RunPaused || error instanceof OutcomeUnknown || error instanceof HandedOver

/** One reason for several parts that stopped: a failure before anything else, then what needs somebody, and the earliest time to look again. */
export function worstOf(errors: unknown[]): unknown {
  const failure = errors.find((error) => !isPause(error))
  if (failure !== undefined) return failure
  const stopped = errors.find((error) => error instanceof HandedOver) ?? errors.find((error) => error instanceof OutcomeUnknown)
  if (stopped !== undefined) return stopped
  const pauses = errors.filter((error) => error instanceof RunPaused)
  const [first] = pauses.toSorted((a, b) => RANK[a.reason] - RANK[b.reason])
  if (first === undefined) return errors[0]
  const times = pauses.flatMap(({ wakeAt }) => wakeAt?.getTime() ?? [])
  const detail = Object.assign({}, ...pauses.filter(({ reason }) => reason === first.reason).map((pause) => pause.detail))
  return new RunPaused(first.reason, times.length > 0 ? new Date(Math.min(...times)) : undefined, detail)
}

const RANK: Record<PauseReason, number> = { approval: 0, 'budget-exhausted': 1, delay: 2 }

/** Like `Promise.all`, but nothing is left going on behind its back: it settles when all have. @throws the worst of what they threw */
export async function allSettled<T>(works: Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(works)
  const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []))
  if (errors.length > 0) throw worstOf(errors)
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
}
