import type { Clock } from '~/platform/clock'
import { DomainError } from '~/platform/errors'

/**
 * Runs `work` until it settles, the caller's signal aborts or the time is up; the latter two reject at once, whether or not `work` listens.
 * The signal that `work` gets is aborted in every case but success, so that a connection never outlives its call.
 */
export async function withDeadline<T>(
  { signal, timeoutMs, clock }: { signal: AbortSignal; timeoutMs: number; clock: Clock },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted()
  const call = new AbortController()
  const timer = new AbortController()
  const onAbort = () => call.abort(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  clock.sleep(timeoutMs, timer.signal).then(
    () => call.abort(new DomainError('upstream-timeout', `The model did not finish within ${timeoutMs / 1000} s.`)),
    () => undefined, // the call ended first
  )
  try {
    return await Promise.race([
      work(call.signal),
      new Promise<never>((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason), { once: true })),
    ])
  } catch (error) {
    call.abort(error)
    throw error
  } finally {
    timer.abort()
    signal.removeEventListener('abort', onAbort)
  }
}
