import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findFreePort } from '~/processes/ports'
import { reachPostgres } from '~/processes/reach-postgres'
import { asPostgres } from './native-postgres'

export const findPgBouncer = (): string | null => Bun.which('pgbouncer', { PATH: `${process.env.PATH}:/usr/sbin` })

/** PgBouncer in transaction mode before a server on a loopback port that trusts everybody: after each transaction a session is somebody else's. */
export async function startPgBouncer({ serverUrl, sessions }: { serverUrl: string; sessions: number }) {
  const program = findPgBouncer()
  if (program === null) throw new Error('PgBouncer is not installed')
  const { hostname, port: serverPort, username } = new URL(serverUrl)
  const port = await findFreePort()
  const folder = mkdtempSync('/tmp/evo-pgbouncer-')
  const settings = join(folder, 'pgbouncer.ini')
  writeFileSync(
    settings,
    `[databases]
* = host=${hostname} port=${serverPort} user=${username}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = ${sessions}
max_client_conn = 200
`,
  )
  const asUser = await asPostgres(folder)
  const child = Bun.spawn([...asUser, program, '-q', settings], { stdio: ['ignore', 'ignore', 'ignore'] })
  const killNow = () => child.kill('SIGKILL')
  process.once('exit', killNow)
  const url = new URL(serverUrl)
  url.port = String(port)
  await reachPostgres(url.href, 5000)
  return {
    url: url.href,
    async stop() {
      killNow()
      await child.exited
      process.off('exit', killNow)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
