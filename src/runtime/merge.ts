import { isPause, worstOf } from './pause'

/**
 * Several streams as one, in the order in which their items come. A stream that fails ends the others; one that merely pauses lets them run to
 * their own end or pause first. `abort` is told when the others shall stop.
 * @throws the worst of what they threw
 */
export async function* merge<T>(streams: AsyncGenerator<T, void>[], abort: (reason: unknown) => void): AsyncGenerator<T, void> {
  type Turn = { stream: AsyncGenerator<T, void>; result?: IteratorResult<T, void>; error?: unknown }
  const ask = (stream: AsyncGenerator<T, void>): Promise<Turn> =>
    stream.next().then(
      (result) => ({ stream, result }),
      (error: unknown) => ({ stream, error }),
    )
  const pending = new Map(streams.map((stream) => [stream, ask(stream)]))
  const errors: unknown[] = []
  try {
    while (pending.size > 0) {
      const { stream, result, error } = await Promise.race(pending.values())
      if (result !== undefined && !result.done) {
        // Asked for more only when this item was taken: a slow consumer is waited for.
        yield result.value
        pending.set(stream, ask(stream))
        continue
      }
      pending.delete(stream)
      if (result !== undefined) continue
      errors.push(error)
      if (!isPause(error)) abort(error)
    }
  } finally {
    // Whoever consumes us has stopped: the rest must not go on unseen.
    if (pending.size > 0) {
      abort(new Error('nobody listens any more'))
      await Promise.allSettled([...pending.keys()].map((stream) => stream.return()))
    }
  }
  if (errors.length > 0) throw worstOf(errors)
}
