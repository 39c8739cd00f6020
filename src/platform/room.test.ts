import { expect, test } from 'bun:test'
import { DomainError } from './errors'
import { createRoom, SMALL_BYTES } from './room'

const MIB = 1_048_576
const soon = { maxWaitMs: 5000 }
const settled = async (work: Promise<unknown>) => {
  const pending = Symbol('pending')
  const outcome = await Promise.race([work.catch((error: DomainError) => error.problem), Bun.sleep(5).then(() => pending)])
  return outcome === pending ? 'waits' : outcome instanceof Object ? 'held' : outcome
}

test('what is small is let in however full it is', async () => {
  const room = createRoom({ maxBytes: MIB })
  await room.take('a', MIB, soon)
  expect(await settled(room.take('a', SMALL_BYTES, { maxWaitMs: 1 }))).toBe('held')
  expect(await settled(room.take('b', MIB / 2, { maxWaitMs: 1 }))).toBe('overloaded')
})

test('one holder has half of it at most, and another finds room beside', async () => {
  const room = createRoom({ maxBytes: 8 * MIB })
  await room.take('a', 2 * MIB, soon)
  await room.take('a', 2 * MIB, soon)
  const third = room.take('a', MIB, soon)
  expect(await settled(third)).toBe('waits')
  expect(await settled(room.take('b', 4 * MIB, soon))).toBe('held')
  expect(room.takeNow('c', MIB)).toBeInstanceOf(DomainError)
})

test('one thing may be larger than a half, and one larger than all has it alone', async () => {
  const room = createRoom({ maxBytes: 4 * MIB })
  const hold = await room.take('a', 100 * MIB, soon)
  const next = room.take('b', 3 * MIB, soon)
  expect(await settled(next)).toBe('waits')
  hold.release()
  expect(await settled(next)).toBe('held')
})

test('who waits comes in its order, and is not overtaken by the small', async () => {
  const room = createRoom({ maxBytes: 4 * MIB })
  const first = await room.take('a', 3 * MIB, soon)
  const large = room.take('b', 3 * MIB, soon)
  const lesser = room.take('c', MIB, soon)
  expect([await settled(large), await settled(lesser)]).toEqual(['waits', 'waits'])
  first.release()
  first.release()
  expect([await settled(large), await settled(lesser)]).toEqual(['held', 'held'])
  expect(room.takeNow('d', MIB)).toBeInstanceOf(DomainError)
})

test('who waits too long, or is not needed any more, leaves the room to those behind', async () => {
  const room = createRoom({ maxBytes: 4 * MIB })
  await room.take('a', 2 * MIB, soon)
  const patient = new AbortController()
  const late = room.take('b', 4 * MIB, { maxWaitMs: 20 })
  const given = room.take('c', 4 * MIB, { signal: patient.signal })
  const fitting = room.take('d', 2 * MIB, soon)
  patient.abort(new DomainError('run-cancelled', 'over'))
  expect(await settled(given)).toBe('run-cancelled')
  expect(await late.catch((error: DomainError) => error.problem)).toBe('overloaded')
  expect(await settled(fitting)).toBe('held')
  expect(await settled(room.take('e', MIB, { signal: patient.signal }))).toBe('run-cancelled')
})
