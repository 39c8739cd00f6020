import type { FileKeeper } from '~/features/files/keeper'
import { sessionIdOf } from '~/features/sessions/session-id'
import { authorizeReach, type Reach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError, invalid, notFound } from '~/platform/errors'
import type { Principal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { userEvent } from '~/runtime/conversation'
import type { RunInput } from '~/runtime/types'
import { followRun } from './follow'
import type { LiveLog } from './live-log'
import type { LogEvent } from './log-event'
import { insertUserEvent } from './queries/events'
import { countActiveRuns, findRun, insertRun, requestCancel, upsertSession, wake } from './queries/runs'
import { listSteps, settleStep } from './queries/steps'
import type { Runner } from './runner'
import type { Reconciliation, Run } from './schema'

export type RunService = ReturnType<typeof createRunService>

/** Beside heartbeats a stream outlives a fail-over of the database; a request without them is answered at once. */
const STREAM_PATIENCE_MS = 30_000

export interface RunRequest {
  clientId: string
  agentId: string
  externalId: string
  input: RunInput
  onDisconnect: 'continue' | 'cancel'
}

interface Deps {
  db: Db
  write: Write
  live: LiveLog
  runner: Runner
  files: FileKeeper
  leaseSeconds: number
  timeoutSeconds: number
  concurrentPerClient: number
  heartbeatMs: number
}

export function createRunService({ db, write, live, runner, files, leaseSeconds, timeoutSeconds, concurrentPerClient, heartbeatMs }: Deps) {
  const end = async (principal: Principal, reach: Reach, runId: string) => {
    const cancelled = await write(principal, async ({ tx, audit }) => {
      const run = await findRun(tx, reach, runId)
      if (run === undefined) throw notFound('Run')
      const status = await requestCancel(tx, reach, runId)
      if (status !== undefined) audit({ action: 'cancel', resourceType: 'run', resourceId: runId, clientId: run.clientId })
      return status !== undefined
    })
    if (cancelled) await runner.cancel(runId)
  }

  const show = async (reach: Reach, runId: string): Promise<Run> => {
    const run = await findRun(db, reach, runId)
    if (run === undefined) throw notFound('Run')
    const { clientId: _, result, error, ...rest } = run
    const steps = await listSteps(db, runId)
    return {
      ...rest,
      result: result as Run['result'],
      error: error as Run['error'],
      steps: steps.map(({ key, kind, effect, state, startedAt, finishedAt }) => ({
        key,
        kind,
        effect,
        state,
        started_at: startedAt,
        finished_at: finishedAt,
      })),
    }
  }

  return {
    /**
     * Accepts a turn: the run is committed before anything is done for it, and executed by this process at once if the session is idle.
     * @throws DomainError `rate-limited` above the client's number of concurrent runs
     */
    async start(
      principal: Principal,
      { clientId, agentId, externalId, input, onDisconnect }: RunRequest,
    ): Promise<{ runId: string; sessionId: string }> {
      const sessionId = sessionIdOf(externalId, agentId)
      const id = Bun.randomUUIDv7()
      const prepared = await files.prepare(clientId, input.files)
      let kept = input
      const started = await write(principal, async ({ tx, audit }) => {
        await upsertSession(tx, { sessionId, clientId, agentId, externalId })
        kept = { ...input, files: await files.keep(tx, { clientId, sessionId }, prepared) }
        const said = userEvent(kept)
        const [active, run] = await Promise.all([
          countActiveRuns(tx, clientId),
          insertRun(tx, {
            id,
            clientId,
            agentId,
            sessionId,
            externalId,
            input: kept,
            content: said.content,
            caller: callerOf(principal),
            traceId: principal.origin.traceId,
            onDisconnect,
            owner: runner.owner,
            leaseSeconds,
            timeoutSeconds,
          }),
        ])
        if (active >= concurrentPerClient)
          throw new DomainError('rate-limited', 'This client has too many runs at once.', { retryAfterSeconds: 1 })
        if (run.status === 'running') await insertUserEvent(tx, { id, clientId, sessionId, ...said })
        audit({ action: 'run', resourceType: 'agent', resourceId: agentId, clientId, details: { run_id: id, session_id: sessionId } })
        return { ...run, id }
      })
      // With an Idempotency-Key the answer may be an earlier request's: its run is in hand already.
      if (started.id === id) {
        const { status, createdAt, deadlineAt } = started
        const run = {
          id,
          clientId,
          agentId,
          sessionId,
          leaseToken: 1,
          input: kept,
          traceId: principal.origin.traceId,
          createdAt,
          deadlineAt,
          recovered: false,
        }
        runner.accept(run, status === 'running' ? 'running' : 'queued')
      }
      return { runId: started.id, sessionId }
    },

    /** The run's log behind `after`, see `followRun`. @throws DomainError `not-found` before the first entry */
    async follow(
      principal: Principal,
      runId: string,
      { after, signal }: { after: number; signal: AbortSignal },
    ): Promise<AsyncGenerator<LogEvent | undefined, void>> {
      const reach = authorizeReach(principal, 'read', 'runs')
      if ((await findRun(db, reach, runId)) === undefined) throw notFound('Run')
      return followRun({ db, live }, { runId, after, signal, heartbeatMs, patienceMs: STREAM_PATIENCE_MS })
    },

    /** The same for a run that was just started by this caller, who sees it as it comes (`streamed`) or waits for its end. */
    followOwn: (runId: string, { signal, streamed }: { signal: AbortSignal; streamed: boolean }) =>
      followRun({ db, live }, { runId, after: 0, signal, heartbeatMs, patienceMs: streamed ? STREAM_PATIENCE_MS : 0 }),

    get: (principal: Principal, runId: string): Promise<Run> => show(authorizeReach(principal, 'read', 'runs'), runId),

    /** Ends a run: at once if it waits, else as soon as its process has heard of it. Cancelling one that is over changes nothing. */
    async cancel(principal: Principal, runId: string): Promise<Run> {
      const reach = authorizeReach(principal, 'write', 'runs')
      await end(principal, reach, runId)
      return show(reach, runId)
    },

    /** The same for a run that was just started by this caller, who needs no other right for it. */
    cancelOwn: (principal: Principal, runId: string) => end(principal, { clientId: principal.clientId, agentId: null }, runId),

    /** Says what became of a step whose outcome a crash left unknown; the run then goes on, or ends. */
    async reconcile(principal: Principal, runId: string, { step, decision, result }: Reconciliation): Promise<Run> {
      if (decision === 'fail') return this.cancel(principal, runId)
      const reach = authorizeReach(principal, 'write', 'runs')
      await write(principal, async ({ tx, audit }) => {
        const run = await findRun(tx, reach, runId)
        if (run === undefined) throw notFound('Run')
        if (run.status !== 'needs_reconcile') throw new DomainError('conflict', 'The run does not wait for a decision.')
        const outcome =
          decision === 'done'
            ? { state: 'done' as const, result: { result: result ?? null } }
            : { state: 'open' as const, effect: 'idempotent' as const }
        if (!(await settleStep(tx, runId, step, outcome))) throw invalid('/step', 'not-found', 'The run has no open step of that key')
        await wake(tx, runId)
        audit({ action: 'reconcile', resourceType: 'run', resourceId: runId, clientId: run.clientId, details: { step, decision } })
      })
      return show(reach, runId)
    },
  }
}

function callerOf(principal: Principal): Record<string, unknown> {
  if (principal.kind === 'agent-key') return { kind: 'agent-key', agent_id: principal.agentId }
  if (principal.kind === 'machine-key') return { kind: 'machine-key', key_id: principal.keyId }
  return { kind: 'user', user_id: principal.userId, ...(principal.actor === undefined ? {} : { actor_user_id: principal.actor.userId }) }
}
