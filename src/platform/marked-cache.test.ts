import { expect, test } from 'bun:test'
import { createMarkedCache } from './marked-cache'

/** A row that somebody else changes, and how often it was read. */
function createRow() {
  let value = 'old'
  let reads = 0
  return {
    reads: () => reads,
    change: () => {
      value = 'new'
    },
    load: async () => {
      reads++
      const seen = value
      await Bun.sleep(1)
      return seen
    },
  }
}
const given = (mark: string | undefined) => Promise.resolve({ mark })

test('under one mark a value is read once more at most, and then remembered', async () => {
  const cache = createMarkedCache<string>({ freshMs: 60_000, size: 10 })
  const row = createRow()
  for (let i = 0; i < 10; i++) expect(await cache.get('a', row.load, given('1'))).toBe('old')
  // The first was read before its mark was known.
  expect(row.reads()).toBe(2)
})

test('another mark means another look, however fresh the value is', async () => {
  const cache = createMarkedCache<string>({ freshMs: 60_000, size: 10 })
  const row = createRow()
  for (let i = 0; i < 3; i++) await cache.get('a', row.load, given('1'))
  row.change()
  expect(await cache.get('a', row.load, given('1'))).toBe('old')
  expect(await Promise.all([1, 2, 3].map(() => cache.get('a', row.load, given('2'))))).toEqual(['new', 'new', 'new'])
  expect(row.reads()).toBe(3)
})

test('a change between the look and the mark is not missed by the next request', async () => {
  const cache = createMarkedCache<string>({ freshMs: 60_000, size: 10 })
  const row = createRow()
  const late = Promise.withResolvers<{ mark: string }>()
  const first = cache.get('a', row.load, late.promise)
  await Bun.sleep(3)
  row.change()
  late.resolve({ mark: '2' })
  expect(await first).toBe('old')
  expect(await cache.get('a', row.load, given('2'))).toBe('new')
})

test('without marks age alone decides', async () => {
  const cache = createMarkedCache<string>({ freshMs: 40, size: 10 })
  const row = createRow()
  expect(await cache.get('a', row.load, given('1'))).toBe('old')
  row.change()
  await Bun.sleep(50)
  expect(await cache.get('a', row.load, given(undefined))).toBe('new')
  expect(await cache.get('a', row.load, given(undefined))).toBe('new')
  expect(row.reads()).toBe(2)
  // Redis is back, and has lost what it knew: it says so by another mark.
  expect(await cache.get('a', row.load, given('2'))).toBe('new')
  expect(row.reads()).toBe(3)
})

test('a failure is not remembered, and a refusal leaves nobody waiting', async () => {
  const cache = createMarkedCache<string>({ freshMs: 60_000, size: 10 })
  const row = createRow()
  const failing = cache.get('a', () => Promise.reject(new Error('away')), given('1'))
  await expect(failing).rejects.toThrow('away')
  await expect(cache.get('b', row.load, Promise.reject(new Error('denied')))).rejects.toThrow('denied')
  expect(await cache.get('a', row.load, given('1'))).toBe('old')
})

test('it keeps so many values and no more', async () => {
  const cache = createMarkedCache<string>({ freshMs: 60_000, size: 2 })
  const row = createRow()
  for (const key of ['a', 'b', 'c', 'a']) await cache.get(key, row.load, given(undefined))
  expect(row.reads()).toBe(4)
  await cache.get('c', row.load, given(undefined))
  expect(row.reads()).toBe(4)
})
