import { spyOn } from 'bun:test'
import { sql } from 'drizzle-orm'
import type { Database } from '~/platform/db'
import { Connection } from '~/platform/db/connection'

/** What goes on behind every request: the relay marks what it published, the runner looks for runs that nobody has. */
const BACKGROUND = /^\s*update "?outbox|\bruns\b/i

/** How many statements this process sends to PostgreSQL meanwhile, without those of the background. */
export async function statementsDuring(work: () => Promise<unknown>): Promise<number> {
  const sent = spyOn(Connection.prototype, 'run')
  try {
    await work()
    return sent.mock.calls.filter(([text]) => !BACKGROUND.test(text)).length
  } finally {
    sent.mockRestore()
  }
}

/** Opens as many connections, if the pool may have them: else whoever is the first to need another one, beside the background, has to set it up. */
export async function openConnections({ db }: Database, count: number) {
  await Promise.all(Array.from({ length: count }, () => db.execute(sql`select pg_sleep(0.05)`)))
}
