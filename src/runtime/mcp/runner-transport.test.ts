import { expect, test } from 'bun:test'
import { findFreePort } from '~/processes/ports'
import { STARTED } from './runner-protocol'
import { createRunnerTransport } from './runner-transport'
import type { StdioServer } from './types'

const COMMAND: StdioServer = { transport: 'stdio', command: 'x', args: [], env: {} }

const startRunner = (port: number) =>
  Bun.serve({
    port,
    hostname: '127.0.0.1',
    fetch: (request, server) => (server.upgrade(request) ? undefined : new Response(null, { status: 426 })),
    websocket: { message: (socket) => void socket.send(STARTED) },
  })

test('a runner that is just being restarted is waited for; one that is lost under a call leaves its outcome open', async () => {
  const port = await findFreePort()
  const transport = createRunnerTransport({ url: `http://127.0.0.1:${port}`, token: 't' }, COMMAND)
  const closed = new Promise<void>((resolve) => {
    transport.onclose = resolve
  })
  const starting = transport.start()
  await Bun.sleep(300)
  const runner = startRunner(port)
  await starting
  await runner.stop(true)
  await closed
  expect(transport.fault()).toMatchObject({ problem: 'upstream-error', message: expect.stringContaining('unknown') })
})

test('one that stays away is given up', async () => {
  const transport = createRunnerTransport({ url: `http://127.0.0.1:${await findFreePort()}`, token: 't' }, COMMAND)
  await expect(transport.start()).rejects.toMatchObject({ message: expect.stringContaining('cannot be reached') })
})
