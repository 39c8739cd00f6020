export interface HardStop {
  /** Aborts `settleMs` after the stop was asked for: what is still in hand then is given up. */
  signal: AbortSignal
  /** Resolves at that moment. */
  reached: Promise<void>
  /** Must be called when the work has settled. */
  clear(): void
}

/** The second of the two moments of a shutdown: at `stop` no new work is begun, at the hard stop the work in hand is cut off. */
export function createHardStop(stop: AbortSignal, settleMs: number): HardStop {
  const controller = new AbortController()
  const { promise: reached, resolve } = Promise.withResolvers<void>()
  let timer: Timer | undefined
  const arm = () => {
    timer = setTimeout(() => {
      controller.abort(new Error('the process must stop'))
      resolve()
    }, settleMs)
  }
  if (stop.aborted) arm()
  else stop.addEventListener('abort', arm, { once: true })
  return {
    signal: controller.signal,
    reached,
    clear() {
      clearTimeout(timer)
      stop.removeEventListener('abort', arm)
    },
  }
}
