import { randomBytes } from 'node:crypto'
import sendgridClient from '@sendgrid/client'
import sendgrid from '@sendgrid/mail'
import { Redis } from 'ioredis'
import postgres from 'postgres'
import { makeChainedTables, writeOne } from './chained-floor'
import { endWithParent } from './child'
import { FLOOR_STREAMS, GROUP, MAILS_AT_ONCE } from './queues'

/**
 * What the workers are measured against: bare loops of XREADGROUP and XACK. The mails' loops send what stands in the entry, as many at once as the
 * worker, one by `fetch` and one by @sendgrid/mail as its README has it; they look nothing up, write nothing down and would lose or repeat mails in a
 * crash. The audit loop inserts one row after the other, each with its own COMMIT, unchained; the chained one does all that the worker does, for one
 * entry after the other.
 */
const { PORT, DATABASE_URL = '', REDIS_URL = '', SINK_URL = '' } = process.env
const sql = postgres(DATABASE_URL, { max: 1, onnotice: () => undefined })
const bytes = randomBytes(32)
let seq = 0
sendgrid.setClient(sendgridClient)
sendgrid.setApiKey('SG.bench')
// Setting the key sets the address too.
sendgridClient.setDefaultRequest('baseUrl', `${SINK_URL}/`)

endWithParent()
await sql`create table floor_audit_logs (like audit_logs including all)`
await makeChainedTables(sql)
Bun.serve({ port: Number(PORT), hostname: '127.0.0.1', routes: { '/ready': new Response('ok') } })
await Promise.all([
  work(FLOOR_STREAMS.email, MAILS_AT_ONCE, (entries, acknowledge) =>
    Promise.all(entries.map(({ id, body }) => send(body).then(() => acknowledge(id)))),
  ),
  work(FLOOR_STREAMS.library, MAILS_AT_ONCE, (entries, acknowledge) =>
    Promise.all(entries.map(({ id, body }) => sendgrid.send(JSON.parse(body)).then(() => acknowledge(id)))),
  ),
  work(FLOOR_STREAMS.audit, 100, async (entries, acknowledge) => {
    for (const { id, body } of entries) {
      await insert(JSON.parse(body))
      await acknowledge(id)
    }
  }),
  work(FLOOR_STREAMS.chained, 100, async (entries, acknowledge) => {
    for (const { id, body } of entries) {
      await writeOne(sql, body)
      await acknowledge(id)
    }
  }),
])

interface Entry {
  id: string
  body: string
}

async function work(
  stream: string,
  atOnce: number,
  handle: (entries: Entry[], acknowledge: (id: string) => Promise<unknown>) => Promise<unknown>,
) {
  const [reader, client] = [new Redis(REDIS_URL), new Redis(REDIS_URL)]
  await client.xgroup('CREATE', stream, GROUP, '0', 'MKSTREAM')
  for (;;) {
    const reply = await reader.xreadgroup('GROUP', GROUP, 'floor', 'COUNT', atOnce, 'BLOCK', 1000, 'STREAMS', stream, '>')
    const [, entries = []] = (reply as [string, [id: string, fields: string[]][]][] | null)?.[0] ?? []
    const acknowledge = (id: string) => client.xack(stream, GROUP, id)
    await handle(
      entries.map(([id, [, body = '']]) => ({ id, body })),
      acknowledge,
    )
  }
}

async function send(body: string) {
  const answer = await fetch(`${SINK_URL}/v3/mail/send`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer SG.bench' },
    body,
  })
  if (!answer.ok) throw new Error(`the sink answered ${answer.status}`)
}

async function insert(entry: Record<string, string>) {
  seq += 1
  await sql`
    insert into floor_audit_logs (id, chain_id, seq, client_id, user_id, action, resource_type, resource_id, details, ip_address, user_agent,
      created_at, recorded_at, salt, personal_hash, prev_hash, hash)
    values (${entry.id ?? ''}, ${entry.client_id ?? ''}, ${seq}, ${entry.client_id ?? ''}, ${entry.user_id ?? null}, ${entry.action ?? ''},
      ${entry.resource_type ?? ''}, ${entry.resource_id ?? null}, ${sql.json((entry.details ?? {}) as never)}, ${entry.ip_address ?? null},
      ${entry.user_agent ?? null}, ${entry.created_at ?? ''}, clock_timestamp(), ${bytes}, ${bytes}, ${bytes}, ${bytes})`
}
