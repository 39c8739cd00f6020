import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Address } from './target'

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])
const YES = 0x53

/**
 * A socket to the server, encrypted as the address demands, ready for the startup message.
 * `signal` destroys it, whatever it is doing; so does the caller when it is done with it.
 */
export async function dial(address: Address, signal: AbortSignal): Promise<Socket> {
  const { host, port, tls } = address
  const plain = port === undefined ? connect({ path: host }) : connect({ host, port })
  ignoreLateErrors(plain)
  const socket = await settle(plain, 'connect', signal)
  if (tls.mode === 'off') return socket
  socket.write(SSL_REQUEST)
  const answer = await settle(socket, 'data', signal)
  if (answer[0] !== YES) {
    if (tls.mode === 'prefer') return socket
    socket.destroy()
    throw new Error('The database server does not support TLS')
  }
  // Anything behind the answer was put there in clear text by somebody else (CVE-2021-23222).
  if (answer.length > 1) {
    socket.destroy()
    throw new Error('The database server sent data before TLS was set up')
  }
  const encrypted = connectTls({
    socket,
    ...(isIP(host) ? { host } : { servername: host, host }),
    ...(tls.authorities === undefined ? {} : { ca: tls.authorities }),
    rejectUnauthorized: tls.verify !== 'nothing',
    ...(tls.verify === 'authority' ? { checkServerIdentity: () => undefined } : {}),
  })
  ignoreLateErrors(encrypted)
  return settle(encrypted, 'secureConnect', signal)
}

/** Whoever waits has a listener of its own; an error that comes while nobody does is followed by `close`, and would end the process. */
const ignoreLateErrors = (socket: Socket) => socket.on('error', () => undefined)

function settle(socket: Socket, event: 'data', signal: AbortSignal): Promise<Buffer>
function settle(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<Socket>
function settle(socket: Socket, event: 'connect' | 'secureConnect' | 'data', signal: AbortSignal): Promise<Socket | Buffer> {
  return new Promise((resolve, reject) => {
    const finish = (done: () => void) => {
      socket.off(event, succeed)
      socket.off('error', fail)
      socket.off('close', closed)
      signal.removeEventListener('abort', abort)
      done()
    }
    const succeed = (data?: Buffer) => finish(() => resolve(event === 'data' && data ? data : socket))
    const fail = (error: unknown) => {
      finish(() => reject(error))
      socket.destroy()
    }
    const closed = () => fail(Object.assign(new Error('The database server closed the connection'), { code: 'ECONNRESET' }))
    const abort = () => fail(signal.reason)
    if (signal.aborted) return abort()
    socket.on(event, succeed)
    socket.on('error', fail)
    socket.on('close', closed)
    signal.addEventListener('abort', abort)
  })
}
