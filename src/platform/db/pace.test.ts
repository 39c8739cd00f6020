import { expect, test } from 'bun:test'
import { Pace } from './pace'

/** Attempts as fast as the pace allows; `outcome` says how each ends. Returns the times. */
function attempts(pace: Pace, untilMs: number, outcome: 'fails' | 'succeeds') {
  const times: number[] = []
  for (let now = 10_000; now < 10_000 + untilMs; ) {
    const delay = pace.delayMs(now, true)
    if (delay > 0) {
      now += delay
      continue
    }
    times.push(now)
    pace.attempted(now)
    if (outcome === 'fails') pace.failed(now, now)
    else pace.succeeded()
  }
  return times
}

const busiestSecond = (times: number[]) =>
  Math.max(...times.map((start) => times.filter((time) => time >= start && time < start + 1000).length))

test('attempts stay below 50 in any second, even when all succeed', () => {
  expect(busiestSecond(attempts(new Pace(), 10_000, 'succeeds'))).toBeLessThan(50)
})

test('failing attempts thin out to four a second, and a recovered server is found within that', () => {
  const times = attempts(new Pace(() => 1), 20_000, 'fails')
  expect(times.length).toBeLessThan(90)
  expect(times.slice(-3).map((time, i, last) => time - (last[i - 1] ?? time))).toEqual([0, 250, 250])
})

test('attempts that met one fault together count once', () => {
  const pace = new Pace()
  for (let i = 0; i < 4; i++) pace.failed(100, 200)
  expect(pace.isFailing).toBe(true)
  expect(pace.isDown).toBe(false)
  pace.failed(300, 310)
  pace.failed(400, 410)
  expect(pace.isDown).toBe(false)
  pace.failed(500, 510)
  expect(pace.isDown).toBe(true)
  pace.succeeded()
  expect(pace.isFailing).toBe(false)
})
