/**
 * A program of its own, so that the attack does not burden the process it is measured in. `bun slow-clients.ts <port> <connections>` begins as many
 * requests and never ends them: a header line every two seconds. Prints, as JSON, the seconds that each lived.
 */
const [port = 0, connections = 0] = process.argv.slice(2).map(Number)
const GIVE_UP_MS = 20_000
const LINE_EVERY_MS = 2000

const lived: number[] = []
let refused = 0

await Promise.all(Array.from({ length: connections }, (_, index) => connectSlowly(index)))
const startedAt = performance.now()
while (lived.length + refused < connections && performance.now() - startedAt < GIVE_UP_MS) await Bun.sleep(50)
console.log(JSON.stringify({ lived, refused, alive: connections - lived.length - refused }))
process.exit(0)

async function connectSlowly(index: number) {
  // Not all in one moment: the listener's backlog is finite.
  await Bun.sleep(index)
  const openedAt = performance.now()
  let writing: Timer | undefined
  const onClose = () => {
    clearInterval(writing)
    lived.push(Math.round(performance.now() - openedAt) / 1000)
  }
  try {
    const socket = await Bun.connect({ hostname: '127.0.0.1', port, socket: { close: onClose, error: () => {}, data: () => {} } })
    socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n')
    writing = setInterval(() => socket.write('X-Slow: a\r\n'), LINE_EVERY_MS)
  } catch {
    // The sandbox may have no more sockets; the caller looks at the number.
    refused++
  }
}

export {}
