import type { FileKeeper } from '~/features/files/keeper'
import { sessionIdOf } from '~/features/sessions/session-id'
import { type Db, sqlState } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import { identityOf, type Principal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { userEvent } from '~/runtime/conversation'
import type { RunInput } from '~/runtime/types'
import { insertUserEvent } from './queries/events'
import type { OwnedRun } from './queries/owned'
import { countRunsToAdd, insertRun, interruptSession, upsertSession } from './queries/runs'
import type { Runner } from './runner'
import type { OnBusy } from './schema'
import type { Ahead } from './turn'

export interface RunRequest {
  clientId: string
  agentId: string
  externalId: string
  input: RunInput
  onDisconnect: 'continue' | 'cancel'
  /** When the session has a run already; `enqueue` unless told. */
  onBusy?: OnBusy
  /** Nobody waits for it: whichever process has time takes it. */
  isBackground?: boolean
  timeoutSeconds?: number | undefined
  /** What else has to be there if the run is: written in its transaction. */
  alongside?: ((tx: Db, runId: string) => Promise<void>) | undefined
  /** How its session stands, read a moment ago. */
  ahead?: Promise<Ahead | undefined> | undefined
}

export interface StartDeps {
  write: Write
  runner: Runner
  files: FileKeeper
  leaseSeconds: number
  /** That a run may take where neither its request nor its agent says. */
  usualSeconds: number
  concurrentPerClient: number
}

/**
 * Accepts a turn, and has this process execute it if the session is idle. Nothing is done for it before its COMMIT, but for the first question to the
 * model: what that takes is read before, and compared behind the session's lock with what is there then.
 * @throws DomainError `rate-limited` above the client's number of concurrent runs, `conflict` for a busy session that shall not wait
 */
export function createStart({ write, runner, files, leaseSeconds, usualSeconds, concurrentPerClient }: StartDeps) {
  /** All but sure that the turn will be accepted: one that is refused after all has cost a call of the model. */
  const isLikely = ({ isIdle, active }: Ahead) => isIdle && active < concurrentPerClient / 2

  return async (principal: Principal, request: RunRequest): Promise<{ runId: string; sessionId: string }> => {
    const { clientId, agentId, externalId, input, onDisconnect, onBusy = 'enqueue', isBackground = false } = request
    const { timeoutSeconds = null } = request
    const sessionId = sessionIdOf(externalId, agentId)
    const id = Bun.randomUUIDv7()
    const { traceId } = principal.origin
    const row = { id, clientId, agentId, sessionId, externalId, caller: identityOf(principal), traceId, onDisconnect }
    const owned = { ...row, owner: runner.owner, leaseSeconds, timeoutSeconds, usualSeconds, isBackground }
    const prepared = await files.prepare(clientId, input.files)
    let kept = input
    const runOf = ({ createdAt, restMs }: { createdAt: Date; restMs: number }): OwnedRun => {
      return {
        id,
        clientId,
        agentId,
        sessionId,
        leaseToken: 1,
        input: { ...kept, files: kept.files.map((file, index) => ({ ...file, data: input.files[index]?.data ?? '' })) },
        traceId,
        createdAt,
        restMs,
        past: 'none',
      }
    }
    // Not where an earlier request's answer may be the answer, or where files of its own are not to be seen before COMMIT.
    const mayBegin = !isBackground && prepared.length === 0 && principal.idempotency === undefined
    const ahead = mayBegin ? ((await request.ahead) ?? (await runner.lookAhead(row, concurrentPerClient))) : undefined
    const restMs = (timeoutSeconds ?? ahead?.ownSeconds ?? usualSeconds) * 1000
    const begun = ahead && isLikely(ahead) ? runner.begin(runOf({ createdAt: ahead.at, restMs }), ahead) : undefined
    // The model is asked before this thread is busy with the transaction.
    if (begun !== undefined) await new Promise(setImmediate)
    const started = await write(principal, async ({ tx, audit }) => {
      const locked = upsertSession(tx, { sessionId, clientId, agentId, externalId })
      if (onBusy === 'interrupt' || prepared.length > 0) await locked
      const interrupted = onBusy === 'interrupt' ? await interruptSession(tx, clientId, sessionId) : []
      if (prepared.length > 0) kept = { ...input, files: await files.keep(tx, { clientId, sessionId, author: 'user' }, prepared) }
      const said = userEvent(kept)
      // All in one round trip, done in this order: each sees what is there when its turn comes, so behind the session's lock.
      const [, active, run] = await Promise.all([
        locked,
        countRunsToAdd(tx, clientId, concurrentPerClient),
        insertRun(tx, { ...owned, input: kept, content: said.content }),
        insertUserEvent(tx, { id, ...said }),
      ])
      if (active >= concurrentPerClient)
        throw new DomainError('rate-limited', 'This client has too many runs at once.', { retryAfterSeconds: 1 })
      if (onBusy === 'reject' && !run.isIdle) throw new DomainError('conflict', 'The session has a run already.')
      await request.alongside?.(tx, id)
      const used = run.apiKeyId === null ? {} : { api_key_id: run.apiKeyId }
      audit({
        action: 'run',
        resourceType: 'agent',
        resourceId: agentId,
        clientId,
        details: { run_id: id, session_id: sessionId, ...used },
      })
      return { ...run, id, interrupted: interrupted.map((before) => before.id) }
    }).catch((error) => {
      void begun?.abandon()
      return refuseGone(error)
    })
    // With an Idempotency-Key the answer may be an earlier request's: its run is in hand already.
    if (started.id !== id) return { runId: started.id, sessionId }
    const status = started.status === 'running' ? 'running' : 'queued'
    if (begun !== undefined && status === 'running' && started.newest === ahead?.newest) begun.committed()
    else {
      // It was begun on what is no longer so.
      await begun?.abandon()
      if (isBackground) runner.offer()
      else runner.accept(runOf(started), status)
    }
    await Promise.all(started.interrupted.map((before) => runner.cancel(before)))
    return { runId: id, sessionId }
  }
}

/** Reads how a session stands before a turn is asked for: its `ahead`. Rejects with `validation-failed` where there can be no such session. */
export const createLookAhead =
  ({ runner, concurrentPerClient }: Pick<StartDeps, 'runner' | 'concurrentPerClient'>) =>
  async ({ clientId, agentId, externalId }: Pick<RunRequest, 'clientId' | 'agentId' | 'externalId'>): Promise<Ahead> =>
    runner.lookAhead({ id: NO_RUN, clientId, agentId, sessionId: sessionIdOf(externalId, agentId) }, concurrentPerClient)

/** The run is yet to come. */
const NO_RUN = '00000000-0000-0000-0000-000000000000'

/** The agent was deleted meanwhile. */
function refuseGone(error: unknown): never {
  const state = sqlState(error)
  throw state?.code === '23503' && state.constraint?.includes('agent_id') ? notFound('Agent') : error
}
