import { createHash } from 'node:crypto'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { RunContext, Step, StepSpec } from '~/runtime/types'
import type { Persist } from './persist'
import type { OwnedRun } from './queries/owned'
import { listSteps, saveStep } from './queries/steps'
import type { RunLog } from './run-log'
import type { ShownText } from './shown-text'

/** A step of unknown outcome that must not be repeated unasked: the run waits for a decision. */
export class OutcomeUnknown extends Error {
  override name = 'OutcomeUnknown'
  constructor(readonly step: string) {
    super(`the outcome of step ${step} is unknown`)
  }
}

interface Deps {
  db: Db
  run: OwnedRun
  runLog: RunLog
  shown: ShownText
  persist: Persist
  signal: AbortSignal
}

type StepRow = Awaited<ReturnType<typeof listSteps>>[number]

/** What `RunContext.step` promises, kept in run_steps. A new run has no journal yet, so it need not be read. */
export async function openJournal(deps: Deps): Promise<RunContext['step']> {
  const known = new Map<string, StepRow>(deps.run.recovered ? (await listSteps(deps.db, deps.run.id)).map((row) => [row.key, row]) : [])
  const used = new Set<string>()

  return async <T>(spec: StepSpec, work: (step: Step) => Promise<T>): Promise<T> => {
    if (used.has(spec.key)) throw new Error(`step ${spec.key} was taken twice`)
    used.add(spec.key)
    deps.signal.throwIfAborted()
    const inputHash = createHash('sha256').update(JSON.stringify(spec.input)).digest('hex')
    const before = known.get(spec.key)
    if (before !== undefined && before.inputHash !== inputHash) {
      throw new DomainError('conflict', `The agent was changed during the run: step ${spec.key} is no longer the same.`)
    }
    if (before?.state === 'done') return before.result as T
    // The effect as it was declared when it began counts, or what somebody decided since.
    if (before?.state === 'open' && before.effect === 'unsafe') throw new OutcomeUnknown(spec.key)
    return perform(deps, spec, inputHash, work)
  }
}

/** The intent of whatever changes the world is committed before it is done, its result before the run goes on. */
async function perform<T>(
  { db, run, runLog, shown, persist, signal }: Deps,
  spec: StepSpec,
  inputHash: string,
  work: (step: Step) => Promise<T>,
): Promise<T> {
  const row = { runId: run.id, key: spec.key, kind: spec.kind, effect: spec.effect, inputHash }
  const save = (step: Parameters<typeof saveStep>[2]) => persist(() => saveStep(db, run, step))
  if (spec.effect !== 'read-only') await save({ ...row, state: 'open' })
  const pieces = shown.resume(spec.key, runLog)
  const result = await work({ idempotencyKey: `${run.id}:${spec.key}`, signal, emit: pieces.emit })
  pieces.end()
  await runLog.settle()
  await save({ ...row, state: 'done', result })
  return result
}
