import { connect } from 'node:net'

export interface RawReply {
  status: number
  headers: Headers
  body: string
}

export interface Conversation {
  replies: RawReply[]
  /** Whether the server ended the connection. */
  closed: boolean
  ms: number
}

export interface Listening {
  /** The conversation is over when the server has closed it, or when so many replies are complete and it stayed quiet for `quietMs`. */
  replies?: number
  quietMs?: number
  timeoutMs?: number
}

/** Sends bytes that no HTTP client would send, on a connection of their own, and tells what came back. */
export function converse(
  url: string,
  bytes: string | AsyncIterable<string | Uint8Array>,
  { replies = 1, quietMs = 400, timeoutMs = 5000 }: Listening = {},
): Promise<Conversation> {
  const { hostname, port } = new URL(url)
  const startedAt = performance.now()
  return new Promise((resolve) => {
    const received: Buffer[] = []
    let quiet: Timer | undefined
    const socket = connect({ host: hostname, port: Number(port) })
    const finish = (closed: boolean) => {
      clearTimeout(quiet)
      clearTimeout(deadline)
      socket.destroy()
      resolve({ replies: parseReplies(Buffer.concat(received)), closed, ms: performance.now() - startedAt })
    }
    const deadline = setTimeout(() => finish(false), timeoutMs)
    socket.on('data', (chunk: Buffer) => {
      received.push(chunk)
      clearTimeout(quiet)
      if (parseReplies(Buffer.concat(received)).length >= replies) quiet = setTimeout(() => finish(false), quietMs)
    })
    socket.on('close', () => finish(true))
    // A reset is the server's way to close on bytes that it has not read.
    socket.on('error', () => finish(true))
    socket.on('connect', async () => {
      if (typeof bytes === 'string') return void socket.write(bytes, 'latin1')
      for await (const piece of bytes) {
        // Whoever goes on writing to a closed connection loses what has come back on it.
        if (socket.destroyed || received.length > 0) return
        if (!socket.write(piece)) await new Promise((drained) => socket.once('drain', drained).once('close', drained))
      }
    })
  })
}

/** A request as text; header lines are sent as they stand. */
export function rawRequest(method: string, target: string, headerLines: string[] = [], body = ''): string {
  const host = headerLines.some((line) => /^host\s*:/i.test(line)) ? [] : ['Host: localhost']
  return `${[`${method} ${target} HTTP/1.1`, ...host, ...headerLines].join('\r\n')}\r\n\r\n${body}`
}

/** The complete replies at the start of `bytes`, without interim ones (1xx). */
function parseReplies(bytes: Buffer): RawReply[] {
  const replies: RawReply[] = []
  let rest = bytes
  for (;;) {
    const headEnd = rest.indexOf('\r\n\r\n')
    if (headEnd === -1) return replies
    const [statusLine = '', ...lines] = rest.subarray(0, headEnd).toString('latin1').split('\r\n')
    const headers = new Headers(
      lines.map((line): [string, string] => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
    )
    const status = Number(statusLine.split(' ')[1])
    const bodyBytes = rest.subarray(headEnd + 4)
    const body =
      headers.get('transfer-encoding') === 'chunked' ? unchunk(bodyBytes) : cut(bodyBytes, Number(headers.get('content-length') ?? 0))
    if (body === undefined) return replies
    if (status >= 200) replies.push({ status, headers, body: body.text })
    rest = body.rest
  }
}

const cut = (bytes: Buffer, length: number) =>
  bytes.length < length ? undefined : { text: bytes.subarray(0, length).toString(), rest: bytes.subarray(length) }

function unchunk(bytes: Buffer): { text: string; rest: Buffer } | undefined {
  let text = ''
  let rest = bytes
  for (;;) {
    const lineEnd = rest.indexOf('\r\n')
    const size = Number.parseInt(rest.subarray(0, lineEnd).toString('latin1'), 16)
    if (lineEnd === -1 || Number.isNaN(size) || rest.length < lineEnd + 2 + size + 2) return undefined
    text += rest.subarray(lineEnd + 2, lineEnd + 2 + size).toString()
    rest = rest.subarray(lineEnd + 2 + size + 2)
    if (size === 0) return { text, rest }
  }
}
