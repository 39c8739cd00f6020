import { expect, test } from 'bun:test'
import { createTurns } from './turns'

test('so many run at once, in the order of their arrival, and other names do not wait for them', async () => {
  const turns = createTurns({ atOnce: 2, maxWaitMs: 5000 })
  const begun: number[] = []
  const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>())
  const all = gates.map(({ promise }, index) =>
    turns('a', async () => {
      begun.push(index)
      await promise
      return index
    }),
  )
  expect(await turns('b', async () => 'b')).toBe('b')
  await Bun.sleep(1)
  expect(begun).toEqual([0, 1])
  gates[1]?.resolve()
  await all[1]
  await Bun.sleep(1)
  expect(begun).toEqual([0, 1, 2])
  for (const { resolve } of gates) resolve()
  expect(await Promise.all(all)).toEqual([0, 1, 2, 3, 4])
})

test('a failure frees its place', async () => {
  const turns = createTurns({ atOnce: 1, maxWaitMs: 5000 })
  const failing = turns('a', () => Promise.reject(new Error('no')))
  const next = turns('a', async () => 'next')
  await expect(failing).rejects.toThrow('no')
  expect(await next).toBe('next')
})

test('nobody waits for longer than that, and whoever gave up takes no turn', async () => {
  const turns = createTurns({ atOnce: 1, maxWaitMs: 20 })
  const gate = Promise.withResolvers<void>()
  const first = turns('a', () => gate.promise)
  let ran = false
  const late = turns('a', async () => {
    ran = true
  })
  await expect(late).rejects.toMatchObject({ problem: 'overloaded' })
  gate.resolve()
  await first
  expect(ran).toBe(false)
  expect(await turns('a', async () => 'free')).toBe('free')
})
