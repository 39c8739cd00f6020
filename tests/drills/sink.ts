import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Sink {
  url: string
  /** When each mail was taken (`performance.now()`), by its idempotency key: the delivery's id. */
  taken: Map<string, number[]>
  /** Calls that were refused with 429 or 500, and calls that were taken and never answered. */
  refused: number
  unanswered: number
  close(): Promise<void>
}

/** A mail provider that refuses one call in ten and leaves one in a hundred without an answer, though it has taken the mail. */
export async function startSink({ onTaken }: { onTaken: (deliveryId: string) => void }): Promise<Sink> {
  const taken = new Map<string, number[]>()
  const sink = { taken, refused: 0, unanswered: 0 }
  const server = createServer((request, response) => void take(request, response))

  async function take(request: IncomingMessage, response: ServerResponse) {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer)
    } catch {
      return // cut off before the mail was whole: it was never taken
    }
    const luck = Math.random()
    if (luck < 0.1) {
      sink.refused += 1
      const status = luck < 0.05 ? 429 : 500
      return void response.writeHead(status, status === 429 ? { 'retry-after': '1' } : {}).end()
    }
    const id = idOf(JSON.parse(Buffer.concat(chunks).toString()))
    taken.set(id, [...(taken.get(id) ?? []), performance.now()])
    onTaken(id)
    if (luck > 0.99) sink.unanswered += 1
    else response.writeHead(202, { 'x-message-id': id }).end()
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(sink, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}

interface Body {
  personalizations: { custom_args?: { delivery_id: string } }[]
  custom_args?: { delivery_id: string }
}
const idOf = ({ personalizations, custom_args }: Body) => custom_args?.delivery_id ?? personalizations[0]?.custom_args?.delivery_id ?? ''
