import { expect, test } from 'bun:test'
import { connect } from 'node:net'
import { Elysia } from 'elysia'
import { eventStream } from './event-stream'
import type { LogEvent } from './log-event'

const PIECE = 'x'.repeat(65_536)
/** Of the run's log; far more than sockets and streams hold by themselves. */
const ENTRIES = 1000
/** What the kernel takes for both ends of a connection, and what the server's streams hold, with room to spare. */
const MOST_HELD_BYTES = 32 * 1024 * 1024

test('a reader that stops reading holds what is behind it back: of each stream no more than that is in memory', async () => {
  let taken = 0
  async function* entries(): AsyncGenerator<LogEvent> {
    for (let seq = 1; seq <= ENTRIES; seq++) {
      taken = seq
      yield { seq, type: 'text-delta', data: { text: PIECE } }
    }
  }
  const app = new Elysia()
    .get('/events', async function* () {
      yield* eventStream(entries())
    })
    .listen({ port: 0, hostname: '127.0.0.1' })
  const socket = connect(app.server?.port ?? 0, '127.0.0.1')
  let received = 0
  socket.on('data', (chunk) => {
    received += chunk.length
  })
  socket.pause()
  socket.write('GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n')
  // Until nothing more is taken for a hundred turns of the event loop.
  let quiet = 0
  for (let last = -1; quiet < 100 && taken < ENTRIES; last = taken) {
    quiet = taken > 0 && taken === last ? quiet + 1 : 0
    await Bun.sleep(2)
  }
  const held = taken * PIECE.length
  expect(held).toBeLessThan(MOST_HELD_BYTES)
  socket.resume()
  while (taken < ENTRIES || received < ENTRIES * PIECE.length) await Bun.sleep(2)
  socket.destroy()
  await app.stop(true)
})
