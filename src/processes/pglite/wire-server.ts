import { createServer, type Socket } from 'node:net'
import type { Log } from '~/platform/log'
import { WireClient } from './client'
import type { Engine } from './engine'
import { createGreeting } from './greeting'
import { createTurns } from './turns'
import { startUpkeep } from './upkeep'

/**
 * Serves the one session of PGlite to many connections over PostgreSQL's protocol, so that postgres.js and psql see an ordinary server.
 *
 * Our own instead of `@electric-sql/pglite-socket`, which hands over each protocol message for itself (0.2.17): outside a transaction one
 * connection's Parse, another's Bind and Sync mix in the one session, so under concurrency statements get each other's parameters; and when the
 * engine throws, its queue stays marked as busy for ever. See turns.ts for what is exclusive here, and client-settings.ts for `SET`.
 *
 * Shared all the same: session-level advisory locks (never waited for; the transaction-level ones are safe, because transactions take
 * turns), temporary tables, and SQL's own PREPARE, DISCARD and LISTEN. No statement can be cancelled or timed out.
 */
export async function startWireServer({ engine, port, password, log }: { engine: Engine; port: number; password: string; log: Log }) {
  const turns = createTurns({ engine, maxIdleMs: MAX_IDLE_MS, log })
  const greeting = createGreeting({ engine, password })
  const clients = new Set<WireClient>()
  let lastId = 0

  const welcome = (socket: Socket) => {
    const id = ++lastId
    const client: WireClient = new WireClient(socket, id, greeting(id), turns, () => clients.delete(client))
    clients.add(client)
    if (clients.size > MAX_CLIENTS) client.dismiss('53300', 'sorry, too many clients already')
  }
  const server = createServer(welcome)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  const stopUpkeep = startUpkeep({ turns, log })

  return {
    /** Rolls back open transactions and tells every client. */
    stop() {
      stopUpkeep()
      server.close()
      for (const client of clients) client.dismiss('57P01', 'terminating connection due to administrator command')
    },
  }
}

const MAX_CLIENTS = 500
/** How long a transaction may be silent while others wait. */
const MAX_IDLE_MS = 5000
