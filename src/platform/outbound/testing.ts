import { expect } from 'bun:test'
import { createServer as createHttpServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { DomainError, type ProblemName } from '../errors'
import { silentLog } from '../log'
import { createOutbound, type OutboundOptions, type OutboundRequest } from '../outbound'

/** Servers that misbehave, and what the tests ask of a guard that meets them. */
export const MIB = 1024 * 1024

const opened: Server[] = []

export function closeServers() {
  for (const server of opened.splice(0)) server.close()
}

export async function listen(server: Server, host: string, port = 0): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject).listen(port, host, resolve)
  await promise
  opened.push(server)
  return (server.address() as AddressInfo).port
}

export const outbound = (options: Partial<OutboundOptions> = {}) =>
  createOutbound({ allow: [], log: silentLog, defaults: { timeoutMs: 5000, maxBytes: MIB }, ...options })

export const request = (asked: Partial<OutboundRequest> & { url: string }, options?: Partial<OutboundOptions>) =>
  outbound(options).request({ timeoutMs: 5000, maxBytes: MIB, ...asked })

/** Answers 204 and counts connections. */
export async function countingListener(host: string, port = 0) {
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.on('error', () => socket.destroy())
    socket.once('data', () => socket.end('HTTP/1.1 204 No Content\r\n\r\n'))
  })
  return { port: await listen(server, host, port), connections: () => connections }
}

/** Speaks bytes, once the request has begun to arrive. */
export async function rawServer(behave: (socket: Socket) => unknown) {
  let closed = 0
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.on('close', () => closed++)
    socket.once('data', () => behave(socket))
  })
  const port = await listen(server, '127.0.0.1')
  return {
    ...reached(port),
    server,
    /** Waits until so many connections have ended. */
    async closed(count: number) {
      for (let wait = 0; wait < 100 && closed < count; wait++) await Bun.sleep(10)
      expect(closed).toBe(count)
    },
  }
}

interface Seen {
  method: string | undefined
  url: string | undefined
  headers: IncomingHttpHeaders
  body: string
  remotePort: number | undefined
}

/** Keeps what it was sent in `seen`. */
export async function httpServer(answer: (request: IncomingMessage, response: ServerResponse, body: string) => unknown) {
  const seen: Seen[] = []
  const server = createHttpServer(async (incoming, response) => {
    let body = ''
    for await (const chunk of incoming) body += chunk
    const { method, url, headers } = incoming
    seen.push({ method, url, headers, body, remotePort: incoming.socket.remotePort })
    answer(incoming, response, body)
  })
  return { ...reached(await listen(server, '127.0.0.1')), seen }
}

function reached(port: number) {
  const url = `http://127.0.0.1:${port}/`
  const guard = outbound({ allow: ['127.0.0.1'] })
  return {
    url,
    guard,
    request: (asked: Partial<OutboundRequest> = {}) => guard.request({ url, timeoutMs: 5000, maxBytes: MIB, ...asked }),
  }
}

/** Sends `piece` again and again until the connection ends. */
export function drip(socket: Socket, start: string, piece: string) {
  socket.write(start)
  const timer = setInterval(() => socket.write(piece), 20)
  socket.on('close', () => clearInterval(timer))
}

export const problemOf = (error: unknown): ProblemName | unknown => (error instanceof DomainError ? error.problem : error)

export async function expectProblem(problem: ProblemName, work: Promise<unknown>): Promise<DomainError> {
  const error = await work.then(
    (answer) => answer,
    (reason) => reason,
  )
  expect(problemOf(error)).toBe(problem)
  return error as DomainError
}

/** How the stream ended: its problem, or undefined when it ended well. */
export async function problemOfStream(stream: ReadableStream<Uint8Array> | null, onChunk: (chunk: Uint8Array) => void = () => {}) {
  try {
    for await (const chunk of stream ?? []) onChunk(chunk)
  } catch (error) {
    return problemOf(error)
  }
}

/** For the name good.test, valid until 2120; protects nothing. */
export const TEST_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBYTCCAQegAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlnb29kLnRl
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWdvb2QudGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEl4UFIxIIg99gP9
dbrZLzmOrqDNg5ItddVjVWJmpF8mD0ho8NXxNNHyB1aqgA9cxPYoUf4/nOLrgYiu
ST/cn1ejSDBGMBQGA1UdEQQNMAuCCWdvb2QudGVzdDAPBgNVHRMBAf8EBTADAQH/
MB0GA1UdDgQWBBQy7u9J55u3CSpnby287Z+VO/t6tzAKBggqhkjOPQQDAgNIADBF
AiEApp3TL/oyCjxO/FnwiHMOhOLq8pQrXE3EdAvi2EpuX/gCIEsjfINHUGcpm+kT
GVJtkaRWcE847jDPFdZRssY7VVui
-----END CERTIFICATE-----
`
export const TEST_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg842Lr2rhhwqfcAMq
QbNiS0Ad7WSKn27woO2FTvafReOhRANCAARJeFBSMSCIPfYD/XW62S85jq6gzYOS
LXXVY1ViZqRfJg9IaPDV8TTR8gdWqoAPXMT2KFH+P5zi64GIrkk/3J9X
-----END PRIVATE KEY-----
`
