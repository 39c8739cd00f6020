import { expect, test } from 'bun:test'
import { type Config, loadConfig } from '~/config'
import { by, stopTimes } from './stop-times'

const plan = (chosen: Partial<Config>, reason: Parameters<typeof stopTimes>[1] = 'asked') => {
  const now = performance.now()
  const { drained, runsLeft, cut, closed } = stopTimes({ ...loadConfig({}), ...chosen }, reason)
  return [drained, runsLeft, cut, closed].map((time) => Math.round((time - now) / 10) * 10)
}

test('the default gives runs 25 of the 30 seconds, and is over before they are', () => {
  expect(plan({})).toEqual([200, 25_000, 29_000, 29_750])
})

test('however the two settings are chosen, the moments follow each other within the grace time', () => {
  for (const grace of [1, 2, 5, 10, 600])
    for (const drain of [0, 5, 300]) {
      const moments = plan({ shutdownGraceSeconds: grace, drainSeconds: drain })
      expect(moments).toEqual(moments.toSorted((a, b) => a - b))
      expect(moments.at(-1)).toBeLessThan(grace * 1000)
    }
})

test('a process in an unknown state, or without a supervisor, does not drain', () => {
  expect(plan({ drainSeconds: 5 }, 'broken')).toEqual([0, 0, 3500, 4250])
  expect(plan({ drainSeconds: 5 }, 'orphaned')).toEqual([0, 0, 750, 1250])
})

test('work that is late is not waited for', async () => {
  const startedAt = performance.now()
  await by(startedAt + 50, new Promise(() => undefined))
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(45)
  await by(performance.now() + 60_000, Promise.resolve())
})
