import { DomainError, type ProblemName } from '~/platform/errors'
import type { Principal } from '~/platform/principal'

/** One entry of a run's event log. `seq` counts from 1 without gaps; it is the SSE id that `Last-Event-ID` names. */
export interface LogEvent {
  seq: number
  type: LogEventType
  data: Record<string, unknown>
}

export type LogEventType =
  | 'run-started'
  /** Another process goes on with it. */
  | 'run-resumed'
  /** A piece of text of the step `step`, to be appended to what it said before. */
  | 'text-delta'
  | 'reasoning-delta'
  /** The step `step` begins anew after a crash and says something else: forget its pieces so far. */
  | 'text-reset'
  /** A whole event of the session's history. */
  | 'message'
  /** The run is put aside: `reason` says what for. */
  | 'run-waiting'
  | 'run-finished'
  | 'run-failed'
  | 'run-cancelled'

const TERMINAL: ReadonlySet<LogEventType> = new Set<LogEventType>(['run-finished', 'run-failed', 'run-cancelled'])

/** Nothing follows it. */
export const isTerminal = ({ type }: LogEvent) => TERMINAL.has(type)

/** No entry of the log, which has not begun: an earlier run of the session waits for somebody. */
export const waitsBehind = (runId: string, earlierRunId: string): LogEvent => ({
  seq: 0,
  type: 'run-waiting',
  data: { run_id: runId, reason: 'earlier-run', earlier_run_id: earlierRunId },
})

/** It does not go on by itself; a delay passes. */
export const needsSomebody = ({ type, data }: LogEvent) => type === 'run-waiting' && data.reason !== 'delay'

/** Why a run failed, as it is stored and shown. */
export interface RunFailure {
  problem: ProblemName
  detail: string
  /** When it is worth another try, where whoever refused has said so. */
  retry_after_seconds?: number
}

/** The same as the error of a request that waited for the run. */
export const errorOfRun = ({ data }: LogEvent): DomainError => {
  const { problem, detail, retry_after_seconds: retryAfterSeconds } = data as unknown as RunFailure
  return new DomainError(problem, detail, retryAfterSeconds === undefined ? {} : { retryAfterSeconds })
}

/** What this caller may read of a run, for a message to name. */
export const whereToLook = ({ kind }: Principal, runId: string) => `/api/v1/runs/${runId}${kind === 'agent-key' ? '/events' : ''}`
