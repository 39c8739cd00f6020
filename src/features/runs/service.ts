import { inputOf } from '~/features/files/schema'
import { authorizeReach, type Reach } from '~/platform/access'
import type { Db } from '~/platform/db'
import { DomainError, invalid, notFound } from '~/platform/errors'
import type { Page } from '~/platform/http/schema'
import { type PartlyListed, type Position, pageFrom } from '~/platform/keyset'
import { isPassing } from '~/platform/passing-failure'
import type { Principal } from '~/platform/principal'
import { UUID_IN_ANY_CASE } from '~/platform/uuid'
import type { RemoteReply } from '~/runtime/a2a/types'
import { followRun } from './follow'
import type { LiveLog } from './live-log'
import { errorOfRun, isTerminal, type LogEvent, needsSomebody, whereToLook } from './log-event'
import { countRuns, findAgentOf, findRun, findUsage, listRuns, listStepsShown, type RunFilter } from './queries/list'
import { requestCancel } from './queries/runs'
import { findStep, settleStep } from './queries/steps'
import { wakeReconciled } from './queries/wake'
import type { NewRun, Reconciliation, Run, RunItem } from './schema'
import { createLookAhead, createStart, type StartDeps } from './start'

export type { RunRequest } from './start'
export type RunService = ReturnType<typeof createRunService>

/** Beside heartbeats a stream outlives a fail-over of the database; a request without them is answered at once. */
const STREAM_PATIENCE_MS = 30_000

/** For whoever waits for its end and cannot be told: sent again, the message would be a second turn. */
const goesOn = (principal: Principal, runId: string, error: unknown): unknown =>
  error instanceof DomainError && isPassing(error)
    ? new DomainError(
        error.problem,
        `The message was taken, and run ${runId} goes on: GET ${whereToLook(principal, runId)} tells what comes of it. Repeat the request only with the same Idempotency-Key.`,
        { retryAfterSeconds: error.retryAfterSeconds ?? 2, cause: error },
      )
    : error

interface Deps extends StartDeps {
  db: Db
  live: LiveLog
  heartbeatMs: number
  /** @throws DomainError `not-found` */
  ownerOf(reach: Reach, agentId: string): Promise<string>
}

interface Watching {
  onDisconnect: 'continue' | 'cancel'
  /** Aborts when the client leaves. */
  signal: AbortSignal
  /** Seen as it comes, or waited for. */
  streamed: boolean
  untilItWaits?: boolean
}

export function createRunService({ db, live, heartbeatMs, ownerOf, ...startDeps }: Deps) {
  const { write, runner } = startDeps
  const start = createStart(startDeps)

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
    const [usage, steps] = await Promise.all([findUsage(db, runId), listStepsShown(db, runId)])
    return {
      ...itemOf({ ...run, usage }),
      steps: steps.map(({ startedAt, finishedAt, used, ...step }) => {
        const { model = null, ...usage } = used ?? {}
        return { ...step, model, usage: used === null ? null : (usage as Run['usage']), started_at: startedAt, finished_at: finishedAt }
      }),
    }
  }

  return {
    start,

    lookAhead: createLookAhead(startDeps),

    /** A run as the runs API starts it. `background` has no session that anybody watches, but for those who ask for its log. */
    async begin(
      principal: Principal,
      agentId: string,
      { message, files, mode, on_busy, on_disconnect, ...run }: NewRun,
    ): Promise<{ runId: string }> {
      const clientId = await ownerOf(authorizeReach(principal, 'write', 'runs'), agentId)
      return start(principal, {
        clientId,
        agentId,
        externalId: run.external_id ?? `run-${crypto.randomUUID()}`,
        input: inputOf(message, files),
        onDisconnect: on_disconnect ?? 'continue',
        onBusy: on_busy ?? 'enqueue',
        isBackground: mode === 'background',
        timeoutSeconds: run.timeout_seconds,
      })
    },

    /** Until the run has ended or waits for something itself. @throws DomainError what it failed of */
    async outcome(principal: Principal, runId: string, entries: AsyncIterable<LogEvent | undefined>): Promise<Run> {
      for await (const entry of entries) {
        if (entry?.type === 'run-failed') throw errorOfRun(entry)
        if (entry?.type === 'run-finished' || entry?.type === 'run-cancelled' || entry?.type === 'run-waiting') break
      }
      return show(authorizeReach(principal, 'write', 'runs'), runId)
    },

    async list(principal: Principal, filter: RunFilter, page: Page & { after: Position | undefined }): Promise<PartlyListed<RunItem>> {
      const reach = authorizeReach(principal, 'read', 'runs')
      const [rows, total] = await Promise.all([listRuns(db, reach, { ...filter, ...page }), countRuns(db, reach, filter)])
      const { items, last } = pageFrom(rows, page.limit)
      return { items: items.map(itemOf), total, last }
    },

    /** For whoever has yet to say who they are: shows nothing of it. */
    agentOf: async (runId: string): Promise<string | undefined> => (UUID_IN_ANY_CASE.test(runId) ? findAgentOf(db, runId) : undefined),

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

    /**
     * The run goes on without its client, unless the client asked otherwise and leaves before there is nothing more to see: before the run has ended or
     * needs somebody, or, for one who watches it only `untilItWaits`, before any wait.
     */
    async *whileWatched(
      principal: Principal,
      runId: string,
      { onDisconnect, signal, streamed, untilItWaits = false }: Watching,
    ): AsyncGenerator<LogEvent | undefined, void> {
      let isSettled = false
      try {
        for await (const entry of this.followOwn(runId, { signal, streamed })) {
          if (entry !== undefined) isSettled = isTerminal(entry) || (untilItWaits ? entry.type === 'run-waiting' : needsSomebody(entry))
          yield entry
        }
      } catch (error) {
        // It was us who could not go on.
        isSettled = true
        throw streamed ? error : goesOn(principal, runId, error)
      } finally {
        if (!isSettled && onDisconnect === 'cancel') await this.cancelOwn(principal, runId)
      }
    },

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
      const reach = authorizeReach(principal, 'write', 'runs')
      await write(principal, async ({ tx, audit }) => {
        const run = await findRun(tx, reach, runId)
        if (run === undefined) throw notFound('Run')
        if (run.status !== 'needs_reconcile') throw decided()
        audit({ action: 'reconcile', resourceType: 'run', resourceId: runId, clientId: run.clientId, details: { step, decision } })
        if (decision === 'fail') return void (await requestCancel(tx, reach, runId))
        if (!(await wakeReconciled(tx, runId))) throw decided()
        const { kind } = (await findStep(tx, runId, step)) ?? {}
        const outcome =
          decision === 'done'
            ? { state: 'done' as const, result: kind === 'remote' ? remoteReply(result) : { result: result ?? null } }
            : { state: 'open' as const, effect: 'idempotent' as const }
        if (!(await settleStep(tx, runId, step, outcome))) throw invalid('/step', 'not-found', 'The run has no open step of that key')
      })
      if (decision === 'fail') await runner.cancel(runId)
      return show(reach, runId)
    },
  }
}

const decided = () => new DomainError('conflict', 'The run does not wait for a decision.')

/** What a remote agent is said to have answered. */
const remoteReply = (result: unknown): RemoteReply => ({
  parts: [{ text: typeof result === 'string' ? result : JSON.stringify(result ?? null) }],
  inputRequired: false,
})

const itemOf = ({ clientId: _, result, error, ...rest }: Omit<Awaited<ReturnType<typeof listRuns>>[number], 'at'>): RunItem => ({
  ...rest,
  // jsonb written by ourselves in these shapes.
  result: result as RunItem['result'],
  error: error as RunItem['error'],
})
