import { createHash } from 'node:crypto'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { FilePart, ModelReply } from '~/runtime/model/types'
import { HandedOver, OutcomeUnknown } from '~/runtime/pause'
import type { Step, StepSpec } from '~/runtime/types'
import { asStored } from './as-stored'
import type { Persist } from './persist'
import type { OwnedRun } from './queries/owned'
import { listSteps, saveStep } from './queries/steps'
import type { RunLog } from './run-log'
import type { ShownText } from './shown-text'
import type { Spending } from './spending'

/** What `RunContext.step` promises, for steps of whatever part of the run. */
export type Journal = <T>(spec: StepSpec, part: { signal: AbortSignal; silent: boolean }, work: (step: Step) => Promise<T>) => Promise<T>

interface Deps {
  db: Db
  run: OwnedRun
  runLog: RunLog
  shown: ShownText
  persist: Persist
  spending: Spending
  keepFile(file: FilePart): Promise<FilePart>
  /** Aborts when this process stops: what is under way is finished, nothing new is begun. */
  handOver: AbortSignal
}

type StepRow = Awaited<ReturnType<typeof listSteps>>[number]

/** Kept in run_steps. A new run has no journal yet, so it need not be read. */
export async function openJournal(deps: Deps): Promise<Journal> {
  const known = new Map<string, StepRow>(
    deps.run.past === 'none' ? [] : (await listSteps(deps.db, deps.run.id)).map((row) => [row.key, row]),
  )
  const used = new Set<string>()

  return async <T>(spec: StepSpec, part: { signal: AbortSignal; silent: boolean }, work: (step: Step) => Promise<T>): Promise<T> => {
    if (used.has(spec.key)) throw new Error(`step ${spec.key} was taken twice`)
    used.add(spec.key)
    part.signal.throwIfAborted()
    const inputHash = createHash('sha256').update(JSON.stringify(spec.input)).digest('hex')
    const before = known.get(spec.key)
    if (before !== undefined && before.inputHash !== inputHash) {
      throw new DomainError('conflict', `The agent was changed during the run: step ${spec.key} is no longer the same.`)
    }
    if (before?.state === 'done') return before.result as T
    // The effect as it was declared when it began counts, or what somebody decided since.
    if (before?.state === 'open' && before.effect === 'unsafe') throw new OutcomeUnknown(spec.key)
    if (deps.handOver.aborted) throw new HandedOver('this process stops')
    return perform(deps, spec, { ...part, inputHash }, work)
  }
}

/** The intent of whatever changes the world is committed before it is done, its result before the run goes on. */
async function perform<T>(
  { db, run, runLog, shown, persist, spending, keepFile }: Deps,
  spec: StepSpec,
  { signal, silent, inputHash }: { signal: AbortSignal; silent: boolean; inputHash: string },
  work: (step: Step) => Promise<T>,
): Promise<T> {
  const row = { runId: run.id, key: spec.key, kind: spec.kind, effect: spec.effect, inputHash }
  const save = (...step: [Parameters<typeof saveStep>[2], Parameters<typeof saveStep>[3]?]) => persist(() => saveStep(db, run, ...step))
  if (spec.effect !== 'read-only') await save({ ...row, state: 'open' })
  const hold = spec.model === undefined ? undefined : await spending.hold(spec.key, spec.model)
  const pieces = silent ? SILENCE : shown.resume(spec.key, runLog)
  let wasHeard = false
  const emit: Step['emit'] = (delta) => {
    wasHeard = true
    pieces.emit(delta)
  }
  const step = { idempotencyKey: `${run.id}:${spec.key}`, signal, emit, maxOutputTokens: hold?.maxOutputTokens, keep: keepFile }
  const result = await work(step).then(asStored, async (error) => {
    // A call that failed before it said anything costs nothing; of one that broke off, nobody knows.
    await hold?.release({ wasHeard })
    throw error
  })
  pieces.end()
  await runLog.settle()
  // A model's step has the model's reply for its result.
  const charge = hold?.chargeFor((result as ModelReply).usage)
  await save({ ...row, state: 'done', result }, charge)
  hold?.settled(charge)
  return result
}

const SILENCE = { emit: () => {}, end: () => {} }
