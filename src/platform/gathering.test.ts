import { expect, test } from 'bun:test'
import { createGathering } from './gathering'

test('what comes while a batch is under way makes up the next one, in parts of the size allowed', async () => {
  const batches: number[][] = []
  const gate = Promise.withResolvers<void>()
  const double = createGathering<number, number>({
    most: 3,
    async work(items) {
      batches.push(items)
      await gate.promise
      return items.map((item) => item * 2)
    },
  })
  const first = double(1)
  await Promise.resolve()
  const others = [2, 3, 4, 5].map(double)
  gate.resolve()
  expect(await Promise.all([first, ...others])).toEqual([2, 4, 6, 8, 10])
  expect(batches).toEqual([[1], [2, 3, 4], [5]])
})

test('a failure hits the item that causes it, and later batches go on', async () => {
  const batches: string[][] = []
  const gather = createGathering<string, string>({
    most: 8,
    async work(items) {
      batches.push(items)
      if (items.includes('bad')) throw new Error('no')
      return items
    },
  })
  const outcomes = await Promise.allSettled(['a', 'bad', 'b'].map(gather))
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(batches).toEqual([['a', 'bad', 'b'], ['a'], ['bad'], ['b']])
  expect(await gather('c')).toBe('c')
})

test('one that is tried again alone and waits holds nobody up', async () => {
  const never = Promise.withResolvers<string[]>()
  const gather = createGathering<string, string>({
    most: 8,
    async work(items) {
      if (items.length > 1) throw new Error('not together')
      return items[0] === 'stuck' ? never.promise : items
    },
  })
  const stuck = gather('stuck')
  expect(await gather('a')).toBe('a')
  expect(await gather('b')).toBe('b')
  never.resolve(['stuck'])
  expect(await stuck).toBe('stuck')
})
