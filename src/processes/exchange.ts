import { connect } from 'node:net'

/**
 * Opens a connection, sends `hello` and returns the first bytes that satisfy `enough`. For telling whether a server answers before its driver,
 * with a pool and retries of its own, is let loose on it.
 * @throws when it refuses, hangs up, or is silent for `timeoutMs`.
 */
export function exchange({
  host,
  port,
  hello,
  enough,
  timeoutMs,
}: {
  host: string
  port: number
  hello: Uint8Array | string
  enough(answer: Buffer): boolean
  timeoutMs: number
}): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0)
    const socket = connect({ host, port })
    const settle = (error?: Error) => {
      clearTimeout(timer)
      socket.destroy()
      if (error) reject(error)
      else resolve(answer)
    }
    const timer = setTimeout(() => settle(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    socket.once('connect', () => socket.write(hello))
    socket.on('data', (chunk) => {
      answer = Buffer.concat([answer, Buffer.from(chunk)])
      if (enough(answer)) settle()
      else if (answer.length > MAX_ANSWER_BYTES) settle(new Error('not the expected protocol'))
    })
    socket.once('error', (error: NodeJS.ErrnoException) => settle(new Error(REASONS[error.code ?? ''] ?? error.message)))
    socket.once('close', () => settle(new Error('connection closed without an answer')))
  })
}

const MAX_ANSWER_BYTES = 4096
const REASONS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'unknown host',
  EAI_AGAIN: 'the host name cannot be resolved now',
  EHOSTUNREACH: 'no route to the host',
  ETIMEDOUT: 'connection timed out',
  ECONNRESET: 'connection reset',
}
