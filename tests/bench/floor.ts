import { createHash } from 'node:crypto'
import { Redis } from 'ioredis'
import postgres from 'postgres'
import { LLM_CONFIG_KEYS } from '~/features/agents/config-schemas'
import { ADMIT_LUA } from '~/platform/admission'
import { endWithParent } from './child'

/**
 * What the server is measured against: the same SQL and the same round trips to Redis on bare `Bun.serve`, postgres.js and ioredis, as one writes them
 * by the book (named statements, pipelined transaction), and nothing else: no accounts, no validation, no encryption, no log. What it answers is what the
 * server answers: the same columns read, the same properties in the body (card address, empty settings and key among them), the same headers that tell
 * of the page, the version and the rate. A floor that says less would be measured at another job.
 */
const { PORT, DATABASE_URL = '', REDIS_URL = '', POOL_SIZE, BENCH_CLIENT = '', BENCH_HASH = '' } = process.env
const sql = postgres(DATABASE_URL, { max: Number(POOL_SIZE), onnotice: () => undefined })
const redis = new Redis(REDIS_URL)
const admitScript = String(await redis.script('LOAD', ADMIT_LUA))

endWithParent()
Bun.serve({
  port: Number(PORT),
  hostname: '127.0.0.1',
  routes: {
    '/ready': new Response('ok'),
    '/api/v1/agents/:id': { GET: (request) => read(request, request.params.id) },
    '/api/v1/agents/': { GET: list, POST: create },
    '/api/v1/auth/login': { POST: login },
  },
})

const LIMIT_PER_MINUTE = 100_000_000

/** Rate and deny-list in one round trip, as the server asks them. Undefined: refused; else the headers of the answer. */
async function admitted(request: Request): Promise<Record<string, string> | undefined> {
  const caller = request.headers.get('authorization')?.slice(-36)
  if (caller === undefined) return undefined
  const keys = [`floor:rate:{${caller}}:request`, `floor:state:{${caller}}`]
  const [waitMs] = (await redis.evalsha(admitScript, 2, ...keys, 60_000 / LIMIT_PER_MINUTE, LIMIT_PER_MINUTE, caller)) as [number]
  if (waitMs !== 0) return undefined
  return {
    'x-request-id': crypto.randomUUID(),
    'x-content-type-options': 'nosniff',
    'ratelimit-policy': `"request";q=${LIMIT_PER_MINUTE};w=60`,
    ratelimit: `"request";r=${LIMIT_PER_MINUTE - 1};t=1`,
  }
}

const refused = () => new Response(null, { status: 429 })

const COLUMNS = sql`id, client_id, folder_id, name, description, role, goal, type, model, api_key_id, instruction, agent_card_url, config, version,
  created_at, updated_at, encrypted_key`

const EMPTY_LLM_CONFIG = Object.fromEntries(LLM_CONFIG_KEYS.map((key) => [key, null]))

/** The agent as the server shows it; in place of its key, which is sealed, stands as much of what it is sealed in. */
const shown = (row: postgres.Row) => ({
  id: row.id,
  client_id: row.client_id,
  folder_id: row.folder_id,
  name: row.name,
  description: row.description,
  role: row.role,
  goal: row.goal,
  type: row.type,
  model: row.model ?? '',
  api_key_id: row.api_key_id,
  instruction: row.instruction,
  agent_card_url: row.agent_card_url ?? `http://127.0.0.1:${PORT}/api/v1/a2a/${row.id}/.well-known/agent.json`,
  config: { ...(row.type === 'llm' ? EMPTY_LLM_CONFIG : undefined), ...row.config, api_key: row.encrypted_key.slice(-36) },
  created_at: row.created_at,
  updated_at: row.updated_at,
})

async function read(request: Request, id: string) {
  const headers = await admitted(request)
  if (headers === undefined) return refused()
  const [agent] = await sql`select ${COLUMNS} from agents where id = ${id} and client_id = ${BENCH_CLIENT}`
  if (agent === undefined) return new Response(null, { status: 404 })
  return Response.json(shown(agent), { headers: { ...headers, etag: `"${agent.version}"` } })
}

async function list(request: Request) {
  const headers = await admitted(request)
  if (headers === undefined) return refused()
  const client = request.headers.get('x-client-id')
  const limit = Number(new URL(request.url).searchParams.get('limit'))
  const [agents, [count]] = await Promise.all([
    sql`select ${COLUMNS} from agents where client_id = ${client} order by name, id limit ${limit}`,
    sql`select count(*) from agents where client_id = ${client}`,
  ])
  const link = `</api/v1/agents/?limit=${limit}&skip=${limit}>; rel="next"`
  return Response.json(agents.map(shown), { headers: { ...headers, 'x-total-count': String(count?.count), link } })
}

async function create(request: Request) {
  const headers = await admitted(request)
  if (headers === undefined) return refused()
  const { client_id, name, type, model, instruction, description, config } = (await request.json()) as Record<string, string>
  const key = crypto.randomUUID()
  const hash = createHash('sha256').update(key).digest()
  const id = crypto.randomUUID()
  const entry = {
    action: 'create',
    resource_type: 'agent',
    resource_id: id,
    client_id,
    details: { name, type, model },
    created_at: new Date(),
  }
  const outboxId = Bun.randomUUIDv7()
  const [[agent]] = await sql.begin((tx) => [
    tx`insert into agents (id, client_id, name, description, type, model, instruction, config, key_hash, encrypted_key)
      values (${id}, ${client_id ?? ''}, ${name ?? ''}, ${description ?? null}, ${type ?? ''}, ${model ?? ''}, ${instruction ?? ''},
      ${tx.json(config ?? {})}, ${hash}, ${key}) returning ${COLUMNS}`,
    tx`insert into outbox (id, kind, client_id, payload) values (${outboxId}, 'audit', ${client_id ?? ''}, ${tx.json(entry as never)})`,
  ])
  await redis.xadd('floor:stream:audit', '*', 'id', outboxId)
  if (agent === undefined) throw new Error('the insert returned no row')
  return Response.json(shown(agent), { status: 201, headers: { ...headers, etag: `"${agent.version}"` } })
}

async function login(request: Request) {
  const { password } = (await request.json()) as { password: string }
  return (await Bun.password.verify(password, BENCH_HASH)) ? Response.json({ access_token: 'x' }) : new Response(null, { status: 401 })
}
