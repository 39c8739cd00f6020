import { createServer } from 'node:net'

export interface PortFault {
  text: string
  /** It may be free in a moment. */
  passes: boolean
}

/** Why nobody can listen on this address now; undefined when it is free. A socket of ours with SO_REUSEPORT counts as taken. */
export function portFault(host: string, port: number): Promise<PortFault | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve({ text: FAULTS[error.code ?? ''] ?? error.message, passes: error.code === 'EADDRINUSE' }),
    )
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  })
}

const FAULTS: Record<string, string> = {
  EADDRINUSE: 'is taken by another process',
  EACCES: 'is not ours to use: ports below 1024 need privileges',
  EADDRNOTAVAIL: 'is not an address of this machine',
}

/**
 * A free port below the range from which the kernel takes ports for outgoing connections, so that nobody has it by chance when its server
 * starts a moment later; and for that while no other process that asks here is given it.
 */
export async function findFreePort(host = '127.0.0.1'): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    if ((await portFault(host, port)) === undefined && (await reserve(port))) return port
  }
  throw new Error(`no free port on ${host}`)
}

/** As long as a server may take to listen. */
const RESERVED_MS = 30_000

/** The UDP port of the same number, which nobody needs, tells the others; the kernel takes it back from a process that ends. False when it is another's. */
async function reserve(port: number): Promise<boolean> {
  try {
    const sign = await Bun.udpSocket({ hostname: '127.0.0.1', port })
    sign.unref()
    setTimeout(() => sign.close(), RESERVED_MS).unref()
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return false
    throw error
  }
}
