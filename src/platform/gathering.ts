export interface GatheringSettings<Item, Result> {
  /** Of one batch. */
  most: number
  /** Results in the order of the items. It must be repeatable: where it fails for several, each of them is tried again alone. */
  work(items: Item[]): Promise<Result[]>
}

/**
 * Calls that come while a batch is under way make up the next one, so that many share what a transaction costs (group commit). One that comes alone is
 * worked on at once. A batch that fails is tried again one by one, side by side and without holding up the next batch: what one item does wrong, or waits
 * for, stays its own.
 */
export function createGathering<Item, Result>({ most, work }: GatheringSettings<Item, Result>): (item: Item) => Promise<Result> {
  interface Call extends PromiseWithResolvers<Result> {
    item: Item
  }
  let waiting: Call[] = []
  let isWorking = false

  async function workOn(calls: Call[]): Promise<void> {
    try {
      const results = await work(calls.map(({ item }) => item))
      if (results.length !== calls.length) throw new Error(`${results.length} results for ${calls.length} items`)
      for (const [index, { resolve }] of calls.entries()) resolve(results[index] as Result)
    } catch (error) {
      if (calls.length === 1) calls[0]?.reject(error)
      else for (const call of calls) void workOn([call])
    }
  }

  async function workAll() {
    isWorking = true
    // What is asked for in the same moment goes together.
    await Promise.resolve()
    while (waiting.length > 0) {
      const calls = waiting.slice(0, most)
      waiting = waiting.slice(most)
      await workOn(calls)
    }
    isWorking = false
  }

  return (item) => {
    const call = { item, ...Promise.withResolvers<Result>() }
    waiting.push(call)
    if (!isWorking) void workAll()
    return call.promise
  }
}
