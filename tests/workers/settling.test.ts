import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { type ConsumerGroup, joinGroup } from '~/platform/outbox/consumer-group'
import { streamKey } from '~/platform/outbox/streams'
import { type Background, openBackground } from '../support/background'
import { until } from '../support/until'

let world: Background
beforeAll(async () => {
  world = await openBackground()
})
afterAll(() => world.close())

let group: ConsumerGroup
let ids: string[]

/** A stream of 250 entries, of which the first 200 were read: more than one node of it. */
beforeEach(async () => {
  await world.redis.run((connection) => connection.del(streamKey(world.redis, 'webhook')))
  group = joinGroup(world.redis, 'webhook', crypto.randomUUID())
  await group.ensure()
  for (let i = 0; i < 250; i++) await world.append('webhook', 'id', `${i}`)
  ids = await readSome(group, 200)
  expect(ids).toHaveLength(200)
})

/** Once its connection is there. */
async function readSome(reader: ConsumerGroup, count: number): Promise<string[]> {
  let entries: string[] = []
  await until(async () => {
    const read = await reader.read(count, 100).catch(() => [])
    entries = read.map(({ entryId }) => entryId)
    return entries.length > 0
  })
  return entries
}

const left = async () =>
  (await world.redis.run((connection) => connection.xrange(streamKey(world.redis, 'webhook'), '-', '+'))).map(([, [, value]]) =>
    Number(value),
  )
const from = (first: number, until = 250) => Array.from({ length: until - first }, (_, at) => first + at)

test.each([
  ['in their order', (all: string[]) => [all.slice(0, 120), all.slice(120)], [from(120), from(200)]],
  ['the later ones first', (all: string[]) => [all.slice(150), all.slice(0, 150)], [[...from(0, 150), ...from(200)], from(200)]],
  [
    'some out of the middle',
    (all: string[]) => [all.slice(50, 60), [...all.slice(0, 50), ...all.slice(60, 190)]],
    [[...from(0, 50), ...from(60)], from(190)],
  ],
])('entries that were settled %s are gone, and all others are there', async (_, parts, expected) => {
  const seen: number[][] = []
  for (const part of parts(ids)) {
    await group.acknowledge(part)
    seen.push(await left())
  }
  expect(seen).toEqual(expected)
  expect(await world.pendingOf('webhook')).toBe(expected.at(-1)?.[0] === 190 ? 10 : 0)
  expect((await group.read(100, 100)).map(({ fields }) => Number(fields[1]))).toEqual(from(200))
  group.disconnect()
})

test('what another consumer has in hand is not trimmed by who settles later entries', async () => {
  const other = joinGroup(world.redis, 'webhook', crypto.randomUUID())
  const theirs = await readSome(other, 20)
  await group.acknowledge(ids)
  expect(await left()).toEqual(from(200))
  const next = await readSome(group, 30)
  await group.acknowledge(next)
  expect(await left()).toEqual(from(200, 220))
  await other.acknowledge(theirs)
  expect(await left()).toEqual([])
  for (const one of [group, other]) one.disconnect()
})

test('a Redis that has forgotten the group takes settled entries all the same', async () => {
  await world.redis.run((connection) => connection.xgroup('DESTROY', streamKey(world.redis, 'webhook'), 'workers'))
  await group.acknowledge(ids.slice(0, 100))
  expect(await left()).toEqual(from(100))
  await world.redis.run((connection) => connection.del(streamKey(world.redis, 'webhook')))
  await group.acknowledge(ids)
  group.disconnect()
})
