/** Less than proxies wait. */
const PING_MS = 8000

const PING = { sse: true, toSSE: () => ': ping\n\n' }

/**
 * Server-sent events that are data alone, one JSON line each, with a comment where it is quiet. An error before the first event is thrown, to be
 * answered with its status; a later one becomes what `failed` makes of it. The handler itself must be an `async function*` around this.
 */
export async function* dataStream(events: AsyncIterable<object>, failed: (error: unknown) => object) {
  const iterator = events[Symbol.asyncIterator]()
  let begun = false
  try {
    for (let next = iterator.next(); ; next = iterator.next()) {
      let got = await orQuiet(next)
      while (got === undefined) {
        yield PING
        got = await orQuiet(next)
      }
      if (got.done) return
      begun = true
      yield dataOf(got.value)
    }
  } catch (error) {
    if (!begun) throw error
    yield dataOf(failed(error))
  } finally {
    await iterator.return?.()
  }
}

const dataOf = (value: object) => {
  const line = JSON.stringify(value)
  return { sse: true, toSSE: () => `data: ${line}\n\n` }
}

async function orQuiet<T>(next: Promise<T>): Promise<T | undefined> {
  const quiet = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => quiet.resolve(undefined), PING_MS)
  try {
    return await Promise.race([next, quiet.promise])
  } finally {
    clearTimeout(timer)
  }
}
