import { expect, test } from 'bun:test'
import { DomainError } from '~/platform/errors'
import type { Connection } from './connection'
import { createConnections } from './connections'
import type { McpServer } from './types'

const owner = { clientId: 'c', agentId: 'a' }
const server = (name: string): McpServer => ({ transport: 'http', url: `https://${name}.example/mcp`, headers: {} })
const command: McpServer = { transport: 'stdio', command: 'x', args: [], env: {} }
const signal = new AbortController().signal

function setUp({ maxConnections = 10, maxAgeMs = 60_000 } = {}) {
  let now = 0
  const open: { url: string; closed: boolean; lost?: true }[] = []
  const connections = createConnections({
    async dial(to) {
      if (to.transport === 'http' && to.url.includes('dead')) throw new DomainError('upstream-error', 'dead')
      const line: (typeof open)[number] = { url: to.transport === 'http' ? new URL(to.url).hostname : to.command, closed: false }
      open.push(line)
      const close = async () => {
        line.closed = true
      }
      const list = async () => {
        if (line.lost) throw new DomainError('upstream-error', 'lost')
        return [{ name: 'asked-anew', description: '', inputSchema: {}, annotations: {} }]
      }
      return { tools: [], list, call: async () => undefined, isClosed: () => line.closed, close } satisfies Connection
    },
    clock: { now: () => now, sleep: async () => undefined },
    idleMs: 1000,
    maxAgeMs,
    maxConnections,
  })
  const pass = (ms: number) => {
    now += ms
  }
  return { connections, open, pass, alive: () => open.filter(({ closed }) => !closed).map(({ url }) => url) }
}

test('a remote connection outlives its run and is shared; a command ends with it', async () => {
  const { connections, open, alive } = setUp()
  const first = await connections.lease(owner, server('a'), signal)
  const second = await connections.lease(owner, server('a'), signal)
  expect(second.connection).toBe(first.connection)
  await first.release()
  await second.release()
  const run = await connections.lease(owner, command, signal)
  await run.release()
  expect([open.length, alive()]).toEqual([2, ['a.example']])
  await connections.close()
  expect(alive()).toEqual([])
})

test('a kept connection is asked anew for its tools; one that does not answer any more is replaced', async () => {
  const { connections, open, alive } = setUp()
  const namesOf = ({ tools }: { tools: { name: string }[] }) => tools.map(({ name }) => name)
  const first = await connections.lease(owner, server('a'), signal)
  const second = await connections.lease(owner, server('a'), signal)
  expect([namesOf(first), namesOf(second)]).toEqual([[], ['asked-anew']])
  await first.release()
  await second.release()
  if (open[0]) open[0].lost = true
  const third = await connections.lease(owner, server('a'), signal)
  expect([namesOf(third), open.length, alive()]).toEqual([[], 2, ['a.example']])
  await third.release()
  await connections.close()
})

test('at the limit the longest idle connection makes room; where none is idle, the next has to wait', async () => {
  const { connections, alive, pass } = setUp({ maxConnections: 2 })
  const a = await connections.lease(owner, server('a'), signal)
  const b = await connections.lease(owner, server('b'), signal)
  const refused = await connections.lease(owner, server('c'), signal).catch((error: unknown) => error)
  expect(refused).toMatchObject({ problem: 'overloaded' })
  await b.release()
  pass(1)
  await a.release()
  await connections.lease(owner, server('c'), signal)
  expect(alive()).toEqual(['a.example', 'c.example'])
  await connections.close()
})

test('one that is too old is replaced for the next run, and closed when its last run has let go', async () => {
  const { connections, open, alive, pass } = setUp({ maxAgeMs: 100 })
  const old = await connections.lease(owner, server('a'), signal)
  pass(101)
  const fresh = await connections.lease(owner, server('a'), signal)
  expect(fresh.connection).not.toBe(old.connection)
  await old.release()
  expect([open[0]?.closed, alive()]).toEqual([true, ['a.example']])
  await connections.close()
})

test('a server that cannot be reached is told to all who wait for it, and tried anew by the next', async () => {
  const { connections } = setUp()
  const both = await Promise.allSettled([1, 2].map(() => connections.lease(owner, server('dead'), signal)))
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(await connections.lease(owner, server('dead'), signal).catch((error: unknown) => error)).toMatchObject({
    problem: 'upstream-error',
  })
  await connections.close()
})

test('a run that is cancelled while it waits leaves the others their connection', async () => {
  const { connections } = setUp()
  const abort = new AbortController()
  const cancelled = connections.lease(owner, server('a'), abort.signal).catch((error: unknown) => error)
  const other = connections.lease(owner, server('a'), signal)
  const reason = new Error('cancelled')
  abort.abort(reason)
  expect(await cancelled).toBe(reason)
  expect((await other).connection.isClosed()).toBe(false)
  await connections.close()
})
