import type { Config } from '~/config'
import type { StopReason } from './child'

/** Until when each part of a stop may take, by `performance.now()`. */
export interface StopTimes {
  /** Readiness says no, and whoever comes is told not to come back on the same connection. */
  drained: number
  /** Runs in hand end by themselves; then they are left to other processes. */
  runsLeft: number
  /** Requests and streams end by themselves, a run that was left being shown from where it goes on; then they are told to come back. */
  cut: number
  /** The stores are closed. */
  closed: number
}

/** A little less than child.ts allows. */
const HURRIED_MS = { orphaned: 1500, broken: 4500 }
/** Also where no balancer has to notice: connections in use are told to close by their next answer, instead of being closed under a request. */
const LEAST_DRAIN_MS = 200
const FOR_LEFT_RUNS_MS = 5000
const FOR_CLOSING_MS = 1000
const FOR_EXIT_MS = 250

/** All is over before the supervisor loses patience: SHUTDOWN_GRACE_SECONDS after it asked. */
export function stopTimes({ shutdownGraceSeconds, drainSeconds }: Config, reason: StopReason): StopTimes {
  const now = performance.now()
  const graceMs = reason === 'asked' ? shutdownGraceSeconds * 1000 : HURRIED_MS[reason]
  const cutMs = graceMs - Math.min(FOR_CLOSING_MS, graceMs / 2)
  const drainMs = reason === 'asked' ? Math.min(Math.max(drainSeconds * 1000, LEAST_DRAIN_MS), cutMs) : 0
  return {
    drained: now + drainMs,
    runsLeft: now + Math.max(drainMs, graceMs - FOR_LEFT_RUNS_MS),
    cut: now + cutMs,
    closed: now + graceMs - FOR_EXIT_MS,
  }
}

/** Settles with the work, or at that time without it. */
export async function by(time: number, work: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<void>()
  const timer = setTimeout(late.resolve, msUntil(time))
  await Promise.race([work, late.promise])
  clearTimeout(timer)
}

export const msUntil = (time: number) => Math.max(0, time - performance.now())
