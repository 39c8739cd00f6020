import { sql } from 'drizzle-orm'
import { insertClient } from '~/features/users/queries'
import type { AuditPayload } from '~/platform/audit'
import type { Options } from '../options'
import { createMeasure, giveToFloor, giveToWorker, type Queues, until } from '../queues'
import { type Finding, ofRounds, round } from '../report'
import { alternate, median } from '../rounds'

const CLIENTS = 10

/** Audit entries a second of one worker process, against one insert and COMMIT for each. */
export async function audit(queues: Queues, { rounds, seconds }: Options): Promise<Finding> {
  const { db } = queues.database
  const clientIds: string[] = []
  for (let number = 0; number < CLIENTS; number++) {
    const client = await insertClient(db, { name: 'Audit', email: `audit-${number}@example.com` })
    if (client === undefined) throw new Error('the client is there already')
    clientIds.push(client.id)
  }
  const entries = (count: number) => Array.from({ length: count }, (_, at) => newEntry(clientIds[at % CLIENTS] ?? ''))
  /** Asked often while they work, so of what is short: of the log the ends of its chains tell. */
  const count = async (table: 'audit_logs' | 'floor_audit_logs') => {
    const last = sql`(extract(epoch from max(recorded_at)) * 1000)::float8 as last`
    const [row] = await db.execute<{ rows: number; last: number }>(
      table === 'audit_logs'
        ? sql`select coalesce(sum(seq), 0)::float8 as rows, ${last} from audit_chains`
        : sql`select count(*)::float8 as rows, ${last} from floor_audit_logs`,
    )
    return row ?? { rows: 0, last: 0 }
  }
  /** From the telling to the last row. */
  const timed = async (table: 'audit_logs' | 'floor_audit_logs', added: number, give: () => Promise<number>) => {
    const before = (await count(table)).rows
    const startedAt = await give()
    await until(async () => (await count(table)).rows >= before + added)
    return (await count(table)).last - startedAt
  }
  const results = await alternate(rounds, {
    server: createMeasure(4000, seconds, (added) =>
      timed('audit_logs', added, () =>
        giveToWorker(
          queues,
          'audit',
          entries(added).map((payload) => ({ clientId: payload.client_id ?? '', payload: { ...payload } })),
        ),
      ),
    ),
    floor: createMeasure(300, seconds, (added) =>
      timed('floor_audit_logs', added, () =>
        giveToFloor(
          queues,
          'audit',
          entries(added).map((entry) => JSON.stringify({ id: crypto.randomUUID(), ...entry })),
        ),
      ),
    ),
  })
  const cells = (side: 'server' | 'floor') => ({ 'entries/s': round(median(results.map((result) => result[side]))) })
  return {
    title: 'Audit entries of one worker process',
    notes: [
      'floor: XREADGROUP and XACK, one insert with its own COMMIT an entry, into a table with the same columns and indexes, unchained',
      `worker: the whole process of EVO_ROLE=worker, entries of ${CLIENTS} clients chained and called done; PostgreSQL syncs its log to the disk at each COMMIT`,
    ],
    rows: [
      { side: 'worker', cells: cells('server') },
      { side: 'floor', cells: cells('floor') },
    ],
    verdicts: [
      { what: 'entries/s against the floor', ...ofRounds(results.map(({ server, floor }) => server / floor)), goal: { atLeast: 20 } },
    ],
  }
}

const newEntry = (clientId: string): AuditPayload => ({
  user_id: null,
  actor_user_id: null,
  client_id: clientId,
  action: 'update',
  resource_type: 'agent',
  resource_id: crypto.randomUUID(),
  details: { changed: ['name', 'instruction'], name: 'shop_assistant' },
  ip_address: '192.0.2.7',
  user_agent: 'Mozilla/5.0 (X11; Linux x86_64)',
  trace_id: null,
  created_at: new Date().toISOString(),
})
