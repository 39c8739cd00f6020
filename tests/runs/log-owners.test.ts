import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createLiveLog, type LiveLog, RunTakenOver } from '~/features/runs/live-log'
import type { LogEvent } from '~/features/runs/log-event'
import { silentLog } from '~/platform/log'
import { createRedis, type RedisStore } from '~/platform/redis'
import { services } from '../support/services'

/** Two processes, the one behind the other the owner of a run. */
let redis: RedisStore
let here: LiveLog
let there: LiveLog

beforeAll(async () => {
  const keyPrefix = `live-log-${crypto.randomUUID()}:`
  redis = createRedis({ url: services.redisUrl, keyPrefix, commandTimeoutMs: 5000, name: 'test', log: silentLog })
  expect(await redis.ready(5000)).toBe(true)
  here = createLiveLog({ redis, log: silentLog })
  there = createLiveLog({ redis, log: silentLog })
})
afterAll(async () => {
  here.close()
  there.close()
  await redis.close()
})

const entry = (seq: number): LogEvent => ({ seq, type: 'text-delta', data: { text: String(seq) } })
const numbers = (entries: LogEvent[]) => entries.map(({ seq }) => seq)

/** As the owner of the run does it. */
async function write(live: LiveLog, run: { id: string; leaseToken: number }, entries: LogEvent[]) {
  expect(await live.append(run, entries)).toBe(true)
  live.show(run.id, entries)
}

test('what an earlier execution shows late neither hides nor repeats what came since', async () => {
  const id = crypto.randomUUID()
  const follower = here.follow(id)
  here.open(id, 0)
  await write(here, { id, leaseToken: 1 }, [entry(1), entry(2)])
  here.forget(id)
  here.open(id, 2)
  await write(here, { id, leaseToken: 2 }, [entry(3)])
  here.show(id, [entry(2)])
  await write(here, { id, leaseToken: 2 }, [entry(4)])
  expect(numbers(await follower.read(1))).toEqual([2, 3, 4])
  follower.close()
})

test('once a successor has put up its fence, an owner that was only slow adds nothing', async () => {
  const id = crypto.randomUUID()
  await write(here, { id, leaseToken: 1 }, [entry(1)])
  expect(await there.fence({ id, leaseToken: 2 })).toBe(true)
  expect(await here.append({ id, leaseToken: 1 }, [entry(2)]).catch((error) => error)).toBeInstanceOf(RunTakenOver)
  const follower = there.follow(id)
  expect(numbers(await follower.read(0))).toEqual([1])
  follower.close()
})
