import { expect, test } from 'bun:test'
import type { Clock } from '~/platform/clock'
import { silentLog } from '~/platform/log'
import { keepRunning } from './keep-running'
import type { Launched } from './launched'

/** A clock that notes how long it was asked to wait, and does not. */
function fakeClock() {
  const slept: number[] = []
  let now = 0
  const clock: Clock = {
    now: () => now,
    async sleep(ms) {
      slept.push(ms)
      now += ms
    },
  }
  return { clock, slept, advance: (ms: number) => (now += ms) }
}

function fakeLaunches() {
  const launches: { ready(): void; end(how?: string): void; started: boolean; signals: string[] }[] = []
  const launch = (): Launched => {
    const ready = Promise.withResolvers<void>()
    const exited = Promise.withResolvers<string>()
    const self = { ready: ready.resolve, end: (how = 'exit code 1') => exited.resolve(how), started: false, signals: [] as string[] }
    launches.push(self)
    return {
      instance: `it-${launches.length}`,
      pid: 0,
      ready: ready.promise,
      exited: exited.promise,
      start() {
        self.started = true
      },
      kill(signal) {
        self.signals.push(signal)
        exited.resolve(`signal ${signal}`)
      },
    }
  }
  const nth = async (count: number) => {
    while (launches.length < count) await Bun.sleep(0)
    return launches[count - 1] ?? launches[0]
  }
  return { launch, launches, nth }
}

const keep = (over: Partial<Parameters<typeof keepRunning>[0]> & { launch(): Launched; clock: Clock }) =>
  keepRunning({ name: 'it', log: silentLog, ...over })

test('whoever ends is replaced: at once, then later and later, and at once again after it was stable', async () => {
  const { clock, slept, advance } = fakeClock()
  const { launch, nth } = fakeLaunches()
  const kept = keep({ launch, clock })
  for (let count = 1; count <= 6; count++) {
    const one = await nth(count)
    one?.ready()
    await kept.firstReady
    one?.end()
  }
  const stable = await nth(7)
  advance(31_000)
  stable?.end()
  await nth(8)
  expect(slept[0]).toBe(50)
  for (let index = 2; index < 6; index++) expect(slept[index]).toBeGreaterThan(slept[index - 1] ?? 0)
  expect(slept[6]).toBe(50)
  await kept.stop('SIGTERM')
})

test('what never served is given up after three tries, with the reason', async () => {
  const { clock } = fakeClock()
  const { launch, launches, nth } = fakeLaunches()
  const kept = keep({ launch, clock })
  for (let count = 1; count <= 3; count++) (await nth(count))?.end('its configuration is wrong')
  expect(kept.firstReady).rejects.toThrow('it does not start: its configuration is wrong')
  await kept.firstReady.catch(() => undefined)
  expect(launches).toHaveLength(3)
})

test('what was launched ahead starts on our word, and its successors at once', async () => {
  const { clock } = fakeClock()
  const { launch, nth } = fakeLaunches()
  const kept = keep({ launch, clock })
  const first = await nth(1)
  expect(first?.started).toBe(false)
  kept.start()
  expect(first?.started).toBe(true)
  first?.end()
  expect((await nth(2))?.started).toBe(true)
  await kept.stop('SIGTERM')
})

test('each death is reported by its instance, and a failing report does not hold up the successor', async () => {
  const { clock } = fakeClock()
  const { launch, nth } = fakeLaunches()
  const dead: string[] = []
  const onExit = async (instance: string) => {
    dead.push(instance)
    throw new Error('the database is down')
  }
  const kept = keep({ launch, clock, onExit })
  ;(await nth(1))?.end()
  ;(await nth(2))?.end()
  await nth(3)
  expect(dead).toEqual(['it-1', 'it-2'])
  await kept.stop('SIGTERM')
})

test('whoever is stopped has no successor', async () => {
  const { clock } = fakeClock()
  const { launch, launches, nth } = fakeLaunches()
  const kept = keep({ launch, clock })
  const one = await nth(1)
  await kept.stop('SIGTERM')
  expect(one?.signals).toEqual(['SIGTERM'])
  await Bun.sleep(5)
  expect(launches).toHaveLength(1)
})
