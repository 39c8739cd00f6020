import { expect, test } from 'bun:test'
import { retryDelayMs } from './backoff'

test('delays double from 5 s to 5 min', () => {
  const longest = Array.from({ length: 9 }, (_, i) => retryDelayMs(i + 1, 0, { random: () => 1 }))
  expect(longest).toEqual([5000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000])
})

test('up to half is taken off', () => {
  expect(retryDelayMs(1, 0, { random: () => 0 })).toBe(2500)
  expect(retryDelayMs(1000, 0, { random: () => 0 })).toBe(150_000)
})

test('what the provider asks for is respected, up to an hour', () => {
  expect(retryDelayMs(1, 60_000, { random: () => 1 })).toBe(60_000)
  expect(retryDelayMs(1, 1000, { random: () => 1 })).toBe(5000)
  expect(retryDelayMs(1, 10 ** 9, { random: () => 1 })).toBe(3_600_000)
})
