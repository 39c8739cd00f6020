import { expect, test } from 'bun:test'
import { join } from 'node:path'

const CHILD = `
  const { behaveAsChild, onStop, signalReady, stopLast } = await import(${JSON.stringify(join(import.meta.dir, 'child.ts'))})
  const { silentLog } = await import(${JSON.stringify(join(import.meta.dir, '../platform/log.ts'))})
  behaveAsChild({ log: silentLog })
  onStop(async (reason) => { await Bun.sleep(20); process.send?.({ type: 'stopped', reason }) })
  const act = process.argv[1]
  if (act === 'last') stopLast()
  if (act === 'throw') setTimeout(() => { throw new Error('a bug') }, 50)
  if (act === 'reject') setTimeout(() => Promise.reject(new Error('a bug')), 50)
  if (act === 'hang') onStop(() => new Promise(() => {}))
  setInterval(() => {}, 1000)
  signalReady()`

/** A child that is ready, and how it ended. */
async function startChild(act = '') {
  const heard: unknown[] = []
  const ready = Promise.withResolvers<void>()
  const child = Bun.spawn([process.execPath, '-e', CHILD, act], {
    cwd: join(import.meta.dir, '../..'),
    ipc(message: { type: string; reason?: string }) {
      if (message.type === 'ready') ready.resolve()
      else heard.push(message.reason)
    },
  })
  await ready.promise
  return { child, ended: async () => ({ code: await child.exited, heard }) }
}

test('SIGTERM stops a child in good order; ^C and a closed terminal are left to the supervisor', async () => {
  const { child, ended } = await startChild()
  child.kill('SIGINT')
  child.kill('SIGHUP')
  await Bun.sleep(50)
  expect(child.exitCode).toBeNull()
  child.kill('SIGTERM')
  expect(await ended()).toEqual({ code: 0, heard: ['asked'] })
})

test('what others use to the end stops only when the supervisor asks', async () => {
  const { child, ended } = await startChild('last')
  child.kill('SIGTERM')
  await Bun.sleep(100)
  expect(child.exitCode).toBeNull()
  child.send({ type: 'stop' })
  expect(await ended()).toEqual({ code: 0, heard: ['asked'] })
})

for (const act of ['throw', 'reject'])
  test(`after an uncaught exception (${act}) a child settles what it has in hand and ends with 1`, async () => {
    expect(await (await startChild(act)).ended()).toEqual({ code: 1, heard: ['broken'] })
  })

test('a child whose supervisor is gone ends within seconds, even when it cannot settle', async () => {
  const { child, ended } = await startChild('hang')
  const from = performance.now()
  child.disconnect()
  expect((await ended()).code).toBe(1)
  expect(performance.now() - from).toBeLessThan(4000)
})
