import { afterEach, expect, spyOn, test } from 'bun:test'
import { findFreePort } from './ports'

const random = spyOn(Math, 'random')
afterEach(() => void random.mockRestore())

test('a port that somebody was given a moment ago is given to nobody else, though nobody listens on it yet', async () => {
  const draws = [0.4321, 0.4321, 0.8765]
  random.mockImplementation(() => draws.shift() ?? 0)
  const first = await findFreePort()
  expect(await findFreePort()).not.toBe(first)
  expect(draws).toEqual([])
})
