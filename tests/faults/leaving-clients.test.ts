import { afterAll, beforeAll, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { sql } from 'drizzle-orm'
import { startApp, type TestApp } from '../support/start-app'

let app: TestApp
beforeAll(async () => {
  app = await startApp({ DATABASE_POOL_SIZE: '2', DATABASE_ACQUIRE_TIMEOUT_MS: '30000', RATE_WRITES_PER_MINUTE: '100000' })
})
afterAll(() => app.close())

/** Sends the first `bytes` of a request and is gone. */
const leaveAfter = (request: string, bytes: number) =>
  new Promise<void>((resolve) => {
    const { hostname, port } = new URL(app.url)
    const socket = connect({ host: hostname, port: Number(port) }, () =>
      socket.write(request.slice(0, bytes), () => socket.resetAndDestroy()),
    )
    socket.on('close', () => resolve())
    socket.on('error', () => resolve())
  })

test('F-33: a client that leaves at any point of a write leaves the whole change or nothing, and no connection behind', async () => {
  const { call, clientId, token } = app.ada
  const body = JSON.stringify({ client_id: clientId, name: 'left', type: 'llm', model: 'demo/echo', config: {} })
  const head = `POST /api/v1/agents/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n`
  const request = `${head}Content-Length: ${body.length}\r\n\r\n${body}`
  const points = [1, head.length, request.length - body.length, request.length - 1, ...Array.from({ length: 30 }, () => request.length)]
  await Promise.all(points.map((bytes) => leaveAfter(request, bytes)))
  // Nobody waits for their answers, so their end is seen by the connections: more requests than connections, each of which writes.
  const after = await Promise.all(Array.from({ length: 8 }, () => call('POST', '/api/v1/agents/', JSON.parse(body))))
  expect(after.map(({ status }) => status)).toEqual(after.map(() => 201))
  const state = async () => {
    const [row] = await app.services.db.execute<{ agents: number; audited: number }>(
      sql`select (select count(*)::int from agents where name = 'left') as agents,
            (select count(*)::int from outbox where kind = 'audit' and payload->>'resource_type' = 'agent' and payload->>'action' = 'create') as audited`,
    )
    return row
  }
  const seen = await state()
  expect(seen).toEqual({ agents: seen?.agents ?? 0, audited: seen?.agents ?? 0 })
  expect(seen?.agents).toBeGreaterThanOrEqual(after.length)
})
