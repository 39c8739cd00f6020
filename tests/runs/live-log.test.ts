import { afterAll, expect, test } from 'bun:test'
import { createLiveLog, type LiveLog, RunTakenOver } from '~/features/runs/live-log'
import type { LogEvent } from '~/features/runs/log-event'
import { silentLog } from '~/platform/log'
import { createRedis } from '~/platform/redis'
import { services } from '../support/services'

/** Two processes of one server. */
const redis = createRedis({
  url: services.redisUrl,
  keyPrefix: `test-${crypto.randomUUID().slice(0, 8)}:`,
  commandTimeoutMs: 500,
  name: 'test',
  log: silentLog,
})
const [here, there] = [1, 2].map(() => createLiveLog({ redis, log: silentLog })) as [LiveLog, LiveLog]
await redis.ready(2000)
afterAll(async () => {
  here.close()
  there.close()
  await redis.close()
})

const entry = (seq: number): LogEvent => ({ seq, type: 'text-delta', data: { text: String(seq) } })
const numbers = (entries: LogEvent[]) => entries.map(({ seq }) => seq)

/** As the owner of the run does it. */
async function append(live: LiveLog, run: { id: string; leaseToken: number }, entries: LogEvent[]) {
  expect(await live.append(run, entries)).toBe(true)
  live.show(run.id, entries)
}

/** The same for whoever has just become its owner. */
async function write(live: LiveLog, run: { id: string; leaseToken: number }, from: number, to: number) {
  live.open(run.id, from - 1)
  await append(
    live,
    run,
    Array.from({ length: to - from + 1 }, (_, index) => entry(from + index)),
  )
}

test('a run that comes back to a process: its follower there also has what another process wrote in between', async () => {
  const id = crypto.randomUUID()
  const follower = here.follow(id)
  try {
    await write(here, { id, leaseToken: 1 }, 1, 3)
    here.forget(id)
    await write(there, { id, leaseToken: 2 }, 4, 4)
    there.forget(id)
    await write(here, { id, leaseToken: 3 }, 5, 6)
    const seen: number[] = []
    for (let more = await follower.read(2); more.length > 0; more = await follower.read(seen.at(-1) ?? 0)) seen.push(...numbers(more))
    expect(seen).toEqual([3, 4, 5, 6])
  } finally {
    follower.close()
  }
})

test('an entry that Redis missed: what comes behind it waits for PostgreSQL to tell', async () => {
  const run = { id: crypto.randomUUID(), leaseToken: 1 }
  await here.append(run, [entry(1), entry(2)])
  await here.append(run, [entry(4)])
  const follower = there.follow(run.id)
  try {
    expect(await follower.read(0)).toEqual([entry(1), entry(2)])
    expect(await follower.read(2)).toEqual([])
    expect(await follower.read(3)).toEqual([entry(4)])
  } finally {
    follower.close()
  }
})

test('what an earlier execution shows late neither hides nor repeats what came since', async () => {
  const id = crypto.randomUUID()
  const follower = here.follow(id)
  here.open(id, 0)
  await append(here, { id, leaseToken: 1 }, [entry(1), entry(2)])
  here.forget(id)
  here.open(id, 2)
  await append(here, { id, leaseToken: 2 }, [entry(3)])
  here.show(id, [entry(2)])
  await append(here, { id, leaseToken: 2 }, [entry(4)])
  expect(numbers(await follower.read(1))).toEqual([2, 3, 4])
  follower.close()
})

test('once a successor has put up its fence, an owner that was only slow adds nothing', async () => {
  const id = crypto.randomUUID()
  await append(here, { id, leaseToken: 1 }, [entry(1)])
  expect(await there.fence({ id, leaseToken: 2 })).toBe(true)
  expect(await here.append({ id, leaseToken: 1 }, [entry(2)]).catch((error) => error)).toBeInstanceOf(RunTakenOver)
  const follower = there.follow(id)
  expect(numbers(await follower.read(0))).toEqual([1])
  follower.close()
})

test('a log that is over leaves Redis after a minute, and its fence stays for those who are only slow', async () => {
  const id = crypto.randomUUID()
  const lives = (key: string) => redis.run((client) => client.ttl(redis.key('run', `{${id}}`, key)))
  await append(here, { id, leaseToken: 2 }, [entry(1)])
  expect(await lives('log')).toBeGreaterThan(60)
  await append(here, { id, leaseToken: 2 }, [{ seq: 2, type: 'run-finished', data: {} }])
  expect(await lives('log')).toBeLessThanOrEqual(60)
  expect(await lives('fence')).toBeGreaterThan(60)
  expect(await there.append({ id, leaseToken: 1 }, [entry(3)]).catch((error) => error)).toBeInstanceOf(RunTakenOver)
})
