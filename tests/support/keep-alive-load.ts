import { connect, type Socket } from 'node:net'

export interface LoadRequest {
  method: string
  path: string
  headers: Record<string, string>
  body?: string
}

export interface LoadResult {
  answered: number
  /** How the others ended: the whole answer, or what became of the connection. */
  failures: string[]
  connections: number
}

const PATIENCE_MS = 10_000
const SUCCEEDED = 'succeeded'

/**
 * Callers who each keep their connection open, as a proxy or an HTTP library does, and pause between two requests: a slow server slows them down.
 * Nothing is ever sent again: what real clients hide by trying a second time counts as a failure here.
 */
export function startKeepAliveLoad(
  url: string,
  { callers, pauseMs, next }: { callers: number; pauseMs: number; next: () => LoadRequest },
): { stop(): Promise<LoadResult> } {
  const { hostname, port, host } = new URL(url)
  const result: LoadResult = { answered: 0, failures: [], connections: 0 }
  let stopped = false

  const run = async () => {
    let connection: Connection | undefined
    while (!stopped) {
      if (connection === undefined || connection.isClosed) {
        connection = new Connection(connect({ host: hostname, port: Number(port) }))
        result.connections++
      }
      const how = await connection.exchange(text(next(), host))
      if (how === SUCCEEDED) result.answered++
      else result.failures.push(how)
      await Bun.sleep(pauseMs)
    }
    connection?.close()
  }
  const all = Promise.all(Array.from({ length: callers }, run))

  return {
    /** Settles when the last requests have been answered. */
    async stop() {
      stopped = true
      await all
      return result
    },
  }
}

const text = ({ method, path, headers, body = '' }: LoadRequest, host: string) => {
  const all = {
    host,
    ...headers,
    ...(body === '' ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}

/** One request at a time. */
class Connection {
  isClosed = false
  private uses = 0
  private received = ''
  private settle: (how: string) => void = () => undefined

  constructor(private readonly socket: Socket) {
    let error = 'closed'
    socket.on('data', (bytes: Buffer) => this.take(bytes.toString('latin1')))
    socket.on('error', (failure: NodeJS.ErrnoException) => {
      error = failure.code ?? failure.message
    })
    socket.on('close', () => {
      this.isClosed = true
      const part = this.received === '' ? 'before' : 'within'
      this.settle(`${error} ${part} the answer to request ${this.uses} of its connection`)
    })
  }

  /** SUCCEEDED, or what went wrong. */
  exchange(request: string): Promise<string> {
    this.uses++
    return new Promise((resolve) => {
      const late = setTimeout(() => {
        this.settle('no answer')
        this.close()
      }, PATIENCE_MS)
      this.settle = (how) => {
        clearTimeout(late)
        resolve(how)
      }
      this.socket.write(request)
    })
  }

  close() {
    this.isClosed = true
    this.socket.destroy()
  }

  private take(bytes: string) {
    this.received += bytes
    const end = this.received.indexOf('\r\n\r\n')
    if (end === -1) return
    const head = this.received.slice(0, end)
    const length = /^content-length: (\d+)$/im.exec(head)?.[1]
    if (length !== undefined && this.received.length < end + 4 + Number(length)) return
    const answer = this.received
    this.received = ''
    // RFC 9112 §9.6: no further request on this connection.
    if (length === undefined || /^connection: close$/im.test(head)) this.close()
    this.settle(answer.startsWith('HTTP/1.1 2') ? SUCCEEDED : answer)
  }
}
