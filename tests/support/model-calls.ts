import type { Clock } from '~/platform/clock'
import type { ModelClient, ModelDelta, ModelReply, ModelRequest } from '~/runtime/model/types'

/** A request with all that a test does not care about. */
export const requestOf = (request: Pick<ModelRequest, 'model' | 'messages'> & Partial<ModelRequest>): ModelRequest => ({
  apiKey: 'test-key',
  system: undefined,
  tools: [],
  signal: new AbortController().signal,
  timeoutMs: 60_000,
  ...request,
})

export async function collect(client: ModelClient, request: ModelRequest): Promise<{ deltas: ModelDelta[]; reply: ModelReply }> {
  const deltas: ModelDelta[] = []
  const reply = await client.generate(request, (delta) => deltas.push(delta))
  return { deltas, reply }
}

/** What a promise was rejected with. */
export const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => {
      throw new Error('it was expected to fail')
    },
    (error: unknown) => error,
  )

/** Longer sleeps are deadlines: no pause between two tries is as long. */
const LONGEST_PAUSE_MS = 20_000

/** Pauses pass at once and are noted; deadlines pass when told to. */
export function fakeTime(): { clock: Clock; pauses: number[]; passDeadline: () => void } {
  const pauses: number[] = []
  const deadlines = new Set<() => void>()
  let now = 1_700_000_000_000
  return {
    pauses,
    passDeadline: () => {
      for (const pass of deadlines) pass()
    },
    clock: {
      now: () => now,
      sleep: (ms, signal) => {
        if (ms <= LONGEST_PAUSE_MS) {
          pauses.push(ms)
          now += ms
          return Promise.resolve()
        }
        return new Promise((resolve, reject) => {
          deadlines.add(resolve)
          signal?.addEventListener('abort', () => reject(signal.reason))
        })
      },
    },
  }
}
