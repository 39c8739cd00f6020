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
 * starts a moment later.
 */
export async function findFreePort(host = '127.0.0.1'): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    if ((await portFault(host, port)) === undefined) return port
  }
  throw new Error(`no free port on ${host}`)
}
