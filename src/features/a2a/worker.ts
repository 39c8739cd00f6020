import type { Clock } from '~/platform/clock'
import type { Database } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { Log } from '~/platform/log'
import type { Outbound } from '~/platform/outbound'
import { createPause } from '~/platform/patience'
import type { Secrets } from '~/platform/secrets'
import { serializePush } from '~/runtime/a2a/official-server'
import { openPush, tokenHeader } from './push-configs'
import { type DuePush, settlePush, takeDuePush } from './queries/push'
import { findTask, listTaskEvents } from './queries/tasks'
import { referenceTask } from './reference-shapes'
import { viewTask } from './task-view'

export interface PushWorkerSettings {
  database: Database
  secrets: Secrets
  outbound: Outbound
  log: Log
  clock: Clock
  /** Of this server, for the user agent. */
  version: string
  pollMs?: number
  /** The first pause between two attempts; it doubles from there. */
  retryMs?: number
}

const BATCH = 20
const TIMEOUT_MS = 30_000
/** Longer than an attempt takes. */
const LEASE_SECONDS = 90
const MAX_ATTEMPTS = 8
const MAX_PAUSE_MS = 300_000

/** Tells of tasks that are over or need somebody: at least once each, until it is heard, or eight times in vain. */
export function createPushWorker(settings: PushWorkerSettings) {
  const { database, log, clock, pollMs = 1000 } = settings
  return {
    async run(signal: AbortSignal) {
      const pause = createPause(clock, signal)
      while (!signal.aborted) {
        try {
          const due = await takeDuePush(database.db, { limit: BATCH, leaseSeconds: LEASE_SECONDS })
          await Promise.all(due.map((push) => deliver(settings, push)))
          pause.reset()
          if (due.length < BATCH) await clock.sleep(pollMs, signal).catch(() => undefined)
        } catch (error) {
          if (pause.isFirst) log.warn('due push notifications could not be looked up, trying again', { error })
          await pause.wait()
        }
      }
    },
  }
}

async function deliver(settings: PushWorkerSettings, push: DuePush): Promise<void> {
  const { database, log, retryMs = 5000 } = settings
  let outcome: string
  try {
    outcome = await attempt(settings, push)
  } catch (error) {
    outcome = error instanceof DomainError ? error.problem : 'internal'
    if (outcome === 'internal') log.error('a push notification could not be made', { run_id: push.runId, error })
  }
  const isHeard = outcome.startsWith('2')
  const isLast = push.attempts >= MAX_ATTEMPTS
  if (!isHeard) log.info('push notification not heard', { run_id: push.runId, attempts: push.attempts, outcome })
  const state = isHeard ? 'sent' : isLast ? 'failed' : 'pending'
  const retryInMs = state === 'pending' ? Math.min(MAX_PAUSE_MS, retryMs * 2 ** (push.attempts - 1)) : 0
  await settlePush(database.db, push, { state, outcome, retryInMs })
}

/** The status that it was answered with. @throws DomainError what the way out refused */
async function attempt({ database: { db }, secrets, outbound, version }: PushWorkerSettings, push: DuePush): Promise<string> {
  const { clientId, agentId, runId, dialect } = push
  const [target, row, events] = await Promise.all([
    openPush({ db, secrets }, push),
    findTask(db, { clientId, agentId }, runId),
    listTaskEvents(db, clientId, [runId]),
  ])
  if (row === undefined) return 'gone'
  const task = viewTask(row, events)
  const { body, contentType } =
    dialect === 'reference' ? { body: JSON.stringify(referenceTask(task)), contentType: 'application/json' } : serializePush(task, dialect)
  const headers = new Headers({
    ...target.headers,
    ...tokenHeader(target.token),
    'content-type': contentType,
    'user-agent': `A2A-Server/${version}`,
  })
  headers.set('idempotency-key', push.telling === 'over' ? `${runId}:${push.id}` : `${runId}:${push.id}:${push.telling}`)
  // All that counts of the answer is its status.
  const response = await outbound.fetch(target.url, { method: 'POST', headers, body }, { timeoutMs: TIMEOUT_MS })
  await response.body?.cancel()
  return String(response.status)
}
