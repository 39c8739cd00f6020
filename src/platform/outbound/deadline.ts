import { DomainError } from '../errors'
import { unlessAborted } from '../unless-aborted'

export interface Deadline {
  /** Aborts with the problem `upstream-timeout`, or with the caller's own reason. */
  signal: AbortSignal
  /** Rejects with the signal's reason when it comes before `work` settles. `work` itself goes on. */
  bound<T>(work: Promise<T>): Promise<T>
  stop(): void
}

export function startDeadline(timeoutMs: number, caller?: AbortSignal | null): Deadline {
  const controller = new AbortController()
  const { signal } = controller
  const onCaller = () => controller.abort(caller?.reason)
  const timer = setTimeout(
    () => controller.abort(new DomainError('upstream-timeout', 'The remote side did not answer in time.')),
    timeoutMs,
  )
  if (caller?.aborted) onCaller()
  caller?.addEventListener('abort', onCaller, { once: true })
  return {
    signal,
    bound: (work) => unlessAborted(signal, work),
    stop() {
      clearTimeout(timer)
      caller?.removeEventListener('abort', onCaller)
    },
  }
}
