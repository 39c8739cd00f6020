import type { Clock } from '~/platform/clock'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { Log } from '~/platform/log'
import { patiently } from '~/platform/patience'
import type { Agent, AgentEvent, RunContext } from '~/runtime/types'
import { eventIdOf } from './event-id'
import { OutcomeUnknown, openJournal } from './journal'
import { type LiveLog, RunTakenOver } from './live-log'
import type { LogEvent, RunFailure } from './log-event'
import { createPersist, type Persist } from './persist'
import { countStoredEvents, insertUserEvent, listHistory, listLog } from './queries/events'
import type { OwnedRun } from './queries/owned'
import { releaseLease } from './queries/runs'
import { openRunLog, type RunLog } from './run-log'
import { readShownText } from './shown-text'

/** Thrown into a run to end it. */
export class RunCancelled extends Error {
  override name = 'RunCancelled'
}

export interface ExecutorDeps {
  db: Db
  live: LiveLog
  clock: Clock
  log: Log
  /** The agent as it can be run. @throws DomainError when it is gone. */
  loadAgent(clientId: string, agentId: string): Promise<Agent>
  toParts(input: OwnedRun['input']): AgentEvent['content']
  maxSteps: number
  maxHistory: number
}

const MAX_LOG_CHUNKS = 10_000

/**
 * Executes one run that this process owns, from wherever it stands to its end. Never rejects: what happens is told by the run's log and row.
 * `signal` aborts with RunCancelled when the run is cancelled, with RunTakenOver when it is lost, with anything else when this process stops.
 */
export async function executeRun(deps: ExecutorDeps, run: OwnedRun, signal: AbortSignal): Promise<void> {
  const { db, live, log, clock } = deps
  const inner = new AbortController()
  const leaving = new AbortController()
  const stop = () => {
    inner.abort(signal.reason)
    if (signal.reason instanceof ProcessStopping) leaving.abort(signal.reason)
  }
  const persist = createPersist({ run, log, signal: leaving.signal })
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop, { once: true })
  const timer = setTimeout(
    () => inner.abort(new DomainError('upstream-timeout', 'The run took longer than it may.')),
    Math.max(0, run.deadlineAt.getTime() - clock.now()),
  )
  let runLog: RunLog | undefined
  try {
    const past = run.recovered ? await listLog(db, run.id, { after: 0, limit: MAX_LOG_CHUNKS }) : []
    const entries = run.recovered ? await withLive(live, run.id, past) : past
    runLog = openRunLog({ db, live, run, lastSeq: entries.at(-1)?.seq ?? 0, log, persist, failed: (error) => inner.abort(error) })
    if (entries.length === 0) runLog.piece('run-started', { run_id: run.id, session_id: run.sessionId, agent_id: run.agentId })
    else runLog.piece('run-resumed', { run_id: run.id })
    const response = await turn(deps, run, { runLog, entries, persist, signal: inner.signal })
    await runLog.end('run-finished', { run_id: run.id, response }, { status: 'succeeded', result: { response } })
  } catch (error) {
    await settleFailure(deps, run, runLog, inner.signal.aborted ? inner.signal.reason : error)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
    // Whatever the agent still had in hand beside the part that failed.
    inner.abort(new RunCancelled('the run is over'))
    runLog?.close()
  }
}

/** The agent's turn itself. Returns the text of its last word. */
async function turn(
  deps: ExecutorDeps,
  run: OwnedRun,
  { runLog, entries, persist, signal }: { runLog: RunLog; entries: LogEvent[]; persist: Persist; signal: AbortSignal },
): Promise<string> {
  const { db, clock, log } = deps
  const { id, clientId, agentId, sessionId } = run
  const content = deps.toParts(run.input)
  const prepare = () =>
    Promise.all([
      deps.loadAgent(clientId, agentId),
      listHistory(db, { clientId, sessionId, runId: id, limit: deps.maxHistory }),
      run.recovered ? countStoredEvents(db, id) : 0,
      openJournal({ db, run, runLog, shown: readShownText(entries), persist, signal }),
      run.recovered ? insertUserEvent(db, { id, clientId, sessionId, content }) : undefined,
    ])
  const onFirst = (error: unknown) => log.warn('the database is away, a run waits', { run_id: id, error })
  const [agent, history, stored, step] = await patiently(prepare, { clock, signal, onFirst })
  const context: RunContext = { runId: id, input: run.input, history, startedAt: run.createdAt, signal, maxSteps: deps.maxSteps, step }
  let ordinal = 0
  let response = ''
  for await (const event of agent(context)) {
    ordinal += 1
    const text = event.content.parts.map((part) => part.text ?? '').join('')
    if (text !== '') response = text
    // Stored, and thereby shown, by an earlier execution.
    if (ordinal <= stored) continue
    const eventId = eventIdOf(id, ordinal)
    await runLog.event(eventId, ordinal, event, { id: eventId, run_id: id, timestamp: Date.now() / 1000, event })
  }
  return response === '' ? 'Finished without specific response' : response
}

/** What only Redis has yet: pieces that were shown in the last moments of the process that died. */
async function withLive(live: LiveLog, runId: string, stored: LogEvent[]): Promise<LogEvent[]> {
  const follower = live.follow(runId)
  try {
    const entries = [...stored]
    for (;;) {
      const more = await follower.read(entries.at(-1)?.seq ?? 0)
      if (more.length === 0) return entries
      entries.push(...more)
    }
  } finally {
    follower.close()
  }
}

async function settleFailure({ db, log }: Pick<ExecutorDeps, 'db' | 'log'>, run: OwnedRun, runLog: RunLog | undefined, reason: unknown) {
  const fields = { run_id: run.id, trace_id: run.traceId }
  if (reason instanceof RunTakenOver) return log.warn('run taken over by another process', fields)
  try {
    if (reason instanceof RunCancelled) await runLog?.end('run-cancelled', { run_id: run.id }, { status: 'cancelled' })
    else if (reason instanceof OutcomeUnknown) {
      await runLog?.end('run-waiting', { run_id: run.id, reason: 'needs_reconcile', step: reason.step }, { status: 'needs_reconcile' })
    } else if (reason instanceof ProcessStopping) {
      await releaseLease(db, run)
      log.info('run handed over', fields)
    } else {
      const failure = failureOf(reason)
      log.warn('run failed', { ...fields, ...failure, error: reason })
      await runLog?.end('run-failed', { run_id: run.id, ...failure }, { status: 'failed', error: failure })
    }
  } catch (error) {
    // The lease runs out, and whoever takes the run over ends it.
    log.error('run could not be settled', { ...fields, error })
  }
}

/** The process ends: the run is left as it stands, for another one to go on with. */
export class ProcessStopping extends Error {
  override name = 'ProcessStopping'
}

const failureOf = (reason: unknown): RunFailure =>
  reason instanceof DomainError
    ? { problem: reason.problem, detail: reason.message }
    : { problem: 'internal', detail: 'Something failed on our side.' }
