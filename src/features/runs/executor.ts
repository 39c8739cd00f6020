import { MAX_TIMER_MS } from '~/platform/clock'
import { DomainError } from '~/platform/errors'
import { HandedOver, OutcomeUnknown, RunPaused } from '~/runtime/pause'
import { inheritLog } from './inherited-log'
import { type LiveLog, RunTakenOver } from './live-log'
import type { RunFailure } from './log-event'
import { createPersist } from './persist'
import { forfeitReservations } from './queries/budgets'
import type { OwnedRun } from './queries/owned'
import { releaseLease } from './queries/runs'
import { openRunLog, type RunLog } from './run-log'
import type { SaveLog } from './save-log'
import { type Early, type TurnDeps, takeTurn } from './turn'

/** Thrown into a run to end it. */
export class RunCancelled extends Error {
  override name = 'RunCancelled'
}

export interface ExecutorDeps extends TurnDeps {
  live: LiveLog
  saveLog: SaveLog
}

export interface Orders {
  /** Aborts with RunCancelled when the run is cancelled, with RunTakenOver when it is lost, with HandedOver when this process cannot wait for it any more. */
  signal: AbortSignal
  /** Aborts when this process is about to stop: the run goes elsewhere as soon as the steps in hand are done. */
  handOver: AbortSignal
  /** For a run that is executed beside its own COMMIT. */
  early?: Early | undefined
}

/** Executes one run that this process owns, from wherever it stands to its end or pause. Never rejects: what happens is told by the run's log and row. */
export async function executeRun(deps: ExecutorDeps, run: OwnedRun, { signal, handOver, early }: Orders): Promise<void> {
  const { db, live, saveLog, log } = deps
  const inner = new AbortController()
  const leaving = new AbortController()
  const stop = () => {
    inner.abort(signal.reason)
    if (signal.reason instanceof HandedOver) leaving.abort(signal.reason)
  }
  const { committed = Promise.resolve() } = early ?? {}
  committed.catch((error: unknown) => inner.abort(error))
  const persist = createPersist({ run, log, committed, signal: leaving.signal })
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop, { once: true })
  const endTimer = atDeadline(run.restMs, () => inner.abort(new DomainError('upstream-timeout', 'The run took longer than it may.')))
  let runLog: RunLog | undefined
  try {
    const { entries, lastSeq, unsaved } = await inheritLog(deps, run, inner.signal)
    runLog = openRunLog({ db, saveLog, live, run, lastSeq, unsaved, log, persist, committed, failed: (error) => inner.abort(error) })
    inner.signal.throwIfAborted()
    if (entries.length === 0) runLog.piece('run-started', { run_id: run.id, session_id: run.sessionId, agent_id: run.agentId })
    else runLog.piece('run-resumed', { run_id: run.id })
    const response = await takeTurn(deps, run, { runLog, entries, persist, signal: inner.signal, handOver, early })
    await runLog.end('run-finished', { run_id: run.id, response }, { status: 'succeeded', result: { response } })
  } catch (error) {
    // Of a run that never came about there is nothing to say.
    const isRun = await committed.then(
      () => true,
      () => false,
    )
    if (isRun) await settleFailure(deps, run, runLog, inner.signal.aborted ? inner.signal.reason : error)
  } finally {
    endTimer()
    signal.removeEventListener('abort', stop)
    // Whatever the agent still had in hand beside the part that failed.
    inner.abort(new RunCancelled('the run is over'))
    runLog?.close()
  }
}

function atDeadline(ms: number, act: () => void): () => void {
  if (ms > MAX_TIMER_MS) return () => {}
  const timer = setTimeout(act, Math.max(0, ms))
  return () => clearTimeout(timer)
}

async function settleFailure({ db, log }: Pick<ExecutorDeps, 'db' | 'log'>, run: OwnedRun, runLog: RunLog | undefined, reason: unknown) {
  const fields = { run_id: run.id, trace_id: run.traceId }
  if (reason instanceof RunTakenOver) return log.warn('run taken over by another process', fields)
  try {
    if (reason instanceof HandedOver) {
      // So that who goes on with it finds what was shown even where Redis is not to be reached.
      const isWhole =
        runLog === undefined
          ? run.past !== 'cut-off'
          : await isStored(runLog, (error) => log.warn('the end of a handed over log is in Redis alone', { ...fields, error }))
      await releaseLease(db, run, { isWhole })
      return log.info('run handed over', fields)
    }
    if (reason instanceof RunPaused) {
      const waitingFor = { reason: reason.reason, ...reason.detail }
      const wakeAt = reason.wakeAt === undefined ? {} : { wake_at: reason.wakeAt.toISOString() }
      return await runLog?.end(
        'run-waiting',
        { run_id: run.id, ...waitingFor, ...wakeAt },
        { status: 'waiting', waitingFor, wakeAt: reason.wakeAt },
      )
    }
    if (reason instanceof OutcomeUnknown) {
      const waitingFor = { reason: 'needs_reconcile', step: reason.step }
      return await runLog?.end('run-waiting', { run_id: run.id, ...waitingFor }, { status: 'needs_reconcile', waitingFor })
    }
    await forfeitReservations(db, run)
    if (reason instanceof RunCancelled) return await runLog?.end('run-cancelled', { run_id: run.id }, { status: 'cancelled' })
    const failure = failureOf(reason)
    log.warn('run failed', { ...fields, ...failure, error: reason })
    await runLog?.end('run-failed', { run_id: run.id, ...failure }, { status: 'failed', error: failure })
  } catch (error) {
    // The lease runs out, and whoever takes the run over ends it.
    log.error('run could not be settled', { ...fields, error })
  }
}

const isStored = (runLog: RunLog, onFailure: (error: unknown) => void): Promise<boolean> =>
  runLog.flush().then(
    () => true,
    (error) => {
      onFailure(error)
      return false
    },
  )

const failureOf = (reason: unknown): RunFailure =>
  reason instanceof DomainError
    ? {
        problem: reason.problem,
        detail: reason.message,
        ...(reason.retryAfterSeconds === undefined ? {} : { retry_after_seconds: reason.retryAfterSeconds }),
      }
    : { problem: 'internal', detail: 'Something failed on our side.' }
