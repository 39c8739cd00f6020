import { exchange } from './exchange'
import { StartError } from './start-error'

const PROBE_MS = 2000
const PAUSE_MS = 250

/**
 * Asks each of the hosts in a DATABASE_URL whether a PostgreSQL answers there, until one does or `forMs` have passed.
 * @throws StartError saying where nobody answered and why.
 */
export async function reachPostgres(url: string, forMs: number): Promise<void> {
  const deadline = Date.now() + forMs
  const addresses = addressesOf(url)
  if (addresses.length === 0) return // a socket in the file system: the driver will tell
  let complaint = ''
  do {
    for (const { host, port } of addresses) {
      const timeoutMs = Math.max(100, Math.min(PROBE_MS, deadline - Date.now()))
      try {
        await exchange({ host, port, hello: SSL_REQUEST, enough: (answer) => answer.length > 0, timeoutMs })
        return
      } catch (error) {
        complaint = `${host}:${port}: ${error instanceof Error ? error.message : error}`
      }
    }
    await Bun.sleep(PAUSE_MS)
  } while (Date.now() < deadline)
  throw new StartError(`the database is unreachable at ${complaint} (DATABASE_URL)`)
}

/** Every PostgreSQL answers it with one byte, S or N, before anything else. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])

/** `postgres://user:password@one:5432,two:5433/name` names several. */
function addressesOf(url: string): { host: string; port: number }[] {
  const authority = /^[a-z]+:\/\/(?:[^@/]*@)?([^/?]*)/.exec(url)?.[1] ?? ''
  return authority
    .split(',')
    .filter((part) => part !== '' && !part.includes('%2F'))
    .map((part) => {
      const [, host = '', port = '5432'] = /^(\[[^\]]+\]|[^:]*):?(\d+)?$/.exec(part) ?? []
      return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
    })
}
