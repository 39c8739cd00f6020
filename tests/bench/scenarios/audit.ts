import { sql } from 'drizzle-orm'
import { insertClient } from '~/features/users/queries'
import type { AuditPayload } from '~/platform/audit'
import type { Options } from '../options'
import { createMeasure, giveToChainedFloor, giveToFloor, giveToWorker, type Item, type Queues, until } from '../queues'
import { type Finding, ofRounds, round } from '../report'
import { alternate, median } from '../rounds'

const CLIENTS = 10

type Side = 'worker' | 'floor' | 'chained'

/** Audit entries a second of one worker process, against one insert and COMMIT for each, and against all of its work and a COMMIT for each. */
export async function audit(queues: Queues, { rounds, seconds }: Options): Promise<Finding> {
  const { db } = queues.database
  const clientIds: string[] = []
  for (let number = 0; number < CLIENTS; number++) {
    const client = await insertClient(db, { name: 'Audit', email: `audit-${number}@example.com` })
    if (client === undefined) throw new Error('the client is there already')
    clientIds.push(client.id)
  }
  const entries = (count: number) => Array.from({ length: count }, (_, at) => newEntry(clientIds[at % CLIENTS] ?? ''))
  const items = (count: number): Item[] => entries(count).map((payload) => ({ clientId: payload.client_id ?? '', payload: { ...payload } }))
  const give: Record<Side, (count: number) => Promise<number>> = {
    worker: (count) => giveToWorker(queues, 'audit', items(count)),
    chained: (count) => giveToChainedFloor(queues, items(count)),
    floor: (count) =>
      giveToFloor(
        queues,
        'audit',
        entries(count).map((entry) => JSON.stringify({ id: crypto.randomUUID(), ...entry })),
      ),
  }
  /** Asked often while they work, so of what is short: of chains their ends tell. */
  const written = async (side: Side) => {
    const last = sql`(extract(epoch from max(recorded_at)) * 1000)::float8 as last`
    const ends = sql.identifier(side === 'worker' ? 'audit_chains' : 'floor_chains')
    const [row] = await db.execute<{ rows: number; last: number }>(
      side === 'floor'
        ? sql`select count(*)::float8 as rows, ${last} from floor_audit_logs`
        : sql`select coalesce(sum(seq), 0)::float8 as rows, ${last} from ${ends}`,
    )
    return row ?? { rows: 0, last: 0 }
  }
  /** From the telling to the last row. */
  const measure = (side: Side, guessPerSecond: number) =>
    createMeasure(guessPerSecond, seconds, async (added) => {
      const before = (await written(side)).rows
      const startedAt = await give[side](added)
      await until(async () => (await written(side)).rows >= before + added)
      return (await written(side)).last - startedAt
    })
  const bare = await alternate(rounds, { server: measure('worker', 4000), floor: measure('floor', 300) })
  const whole = await alternate(rounds, { server: measure('worker', 4000), floor: measure('chained', 300) })
  const perSecond = (values: number[]) => ({ 'entries/s': round(median(values)) })
  const ratios = (results: typeof bare) => ofRounds(results.map(({ server, floor }) => server / floor))
  return {
    title: 'Audit entries of one worker process',
    notes: [
      'floor: XREADGROUP and XACK, one insert with its own COMMIT an entry, into a table with the same columns and indexes, unchained',
      'one by one: XREADGROUP and XACK, and for each entry what the worker does in one transaction: read and lock the row of the outbox,',
      'lock the end of the chain, link, insert, move the end, take the row out of the outbox, COMMIT',
      `worker: the whole process of EVO_ROLE=worker, entries of ${CLIENTS} clients chained and called done; PostgreSQL syncs its log to the disk at each COMMIT`,
    ],
    rows: [
      { side: 'worker', cells: perSecond([...bare, ...whole].map(({ server }) => server)) },
      { side: 'floor', cells: perSecond(bare.map(({ floor }) => floor)) },
      { side: 'one by one', cells: perSecond(whole.map(({ floor }) => floor)) },
    ],
    verdicts: [
      { what: 'entries/s against the floor', ...ratios(bare), goal: { atLeast: 20 } },
      { what: 'entries/s against the same work one by one', ...ratios(whole), goal: { atLeast: 20 } },
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
