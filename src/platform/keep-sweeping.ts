import { systemClock } from './clock'

interface Sweeping {
  /** What a full round does; after one that does less there is a pause. */
  batch: number
  pauseMs: number
  /** Is told why a round failed, which the next one makes up for. */
  failed(error: unknown): void
}

/** One round after the other until `signal` aborts. `sweep` says how much it has done. */
export async function keepSweeping(sweep: () => Promise<number>, signal: AbortSignal, { batch, pauseMs, failed }: Sweeping): Promise<void> {
  while (!signal.aborted) {
    const done = await sweep().catch((error) => {
      failed(error)
      return 0
    })
    if (done < batch) await systemClock.sleep(pauseMs, signal).catch(() => undefined) // aborted: the loop ends
  }
}
