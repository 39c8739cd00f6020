import { afterAll, beforeAll, expect, test } from 'bun:test'
import { listRoutes, type RouteInfo } from '~/platform/http/routes'
import { PASSWORD, type Person, startApp, type TestApp } from '../support/start-app'
import { outcomeOf } from './transport/row'

/** The same inputs every time, so that a commit is judged by what it changes; FUZZ_SEED=random looks elsewhere, FUZZ_ROUNDS looks longer. */
const { FUZZ_SEED = '610427' } = process.env
const seed = FUZZ_SEED === 'random' ? Date.now() % 1_000_000 : Number(FUZZ_SEED)
const rounds = Number(process.env.FUZZ_ROUNDS ?? 40)
const PATIENCE_MS = 5000
const A2A = /^\/api\/v1\/a2a\//

let app: TestApp
let vocabulary: unknown[]
beforeAll(async () => {
  const rates = { RATE_SIGN_IN_PER_MINUTE: '1000000', RATE_REQUESTS_PER_MINUTE: '1000000', RATE_CHATS_PER_MINUTE: '1000000' }
  app = await startApp(rates)
  vocabulary = await realValues(app.ada)
})
afterAll(() => app.close())

test(`no input causes a 5xx but 503, a hang, or an error that is no problem document (FUZZ_SEED=${seed})`, async () => {
  const random = generator(seed)
  const routes = listRoutes(app.app)
  const seen = new Map<number, number>()
  for (let round = 0; round < rounds; round++) {
    for (const route of routes) {
      // Signing out in the midst of it would leave only strangers.
      if (/\/logout(-all)?$/.test(route.path)) continue
      const request = inventRequest(route, random)
      for (const who of ['stranger', 'ada'] as const) {
        const headers = who === 'ada' ? { authorization: `Bearer ${app.ada.token}`, ...request.headers } : request.headers
        const shown = `seed ${seed}: ${who} ${request.method} ${request.path} ${JSON.stringify(headers).slice(0, 300)} ${String(request.body).slice(0, 500)}`
        const { status, verdict } = await attempt({ ...request, headers })
        expect(verdict, shown).toBe('fine')
        seen.set(status, (seen.get(status) ?? 0) + 1)
      }
    }
  }
  const found = [...seen].sort(([a], [b]) => a - b).map(([status, times]) => `${status} × ${times}`)
  console.log(`fuzz: FUZZ_SEED=${seed}, ${found.join(', ')}`)
  // It got behind the doors, too.
  expect(seen.get(200) ?? 0).toBeGreaterThan(20)
  expect(seen.get(422) ?? 0).toBeGreaterThan(20)
  expect(app.logged()).not.toContain('"level":"error","message":"internal"')
  expect((await app.ada.call('POST', '/api/v1/auth/me')).status).toBe(200)
}, 600_000)

interface Invented {
  method: string
  path: string
  headers: Record<string, string>
  body: string | undefined
}

async function attempt({ method, path, headers, body }: Invented): Promise<{ status: number; verdict: string }> {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS)
    const response = await fetch(app.url + path, { method, headers, redirect: 'manual', signal, ...(body === undefined ? {} : { body }) })
    const { status } = response
    const text = await response.text()
    if (status >= 500 && status !== 503) return { status, verdict: `${status} ${text}` }
    if (status < 400) return { status, verdict: 'fine' }
    const outcome = outcomeOf({ status, headers: response.headers, body: text })
    const isProblem = !/ (?:empty|body)$/.test(outcome) || (method === 'HEAD' && text === '') || (A2A.test(path) && isJsonRpcError(text))
    return { status, verdict: isProblem ? 'fine' : outcome }
  } catch (error) {
    return { status: 0, verdict: String(error) }
  }
}

/** JSON-RPC has error objects of its own (https://www.jsonrpc.org/specification#error_object). */
function isJsonRpcError(text: string): boolean {
  const { jsonrpc, error } = JSON.parse(text)
  return jsonrpc === '2.0' && Number.isInteger(error?.code) && typeof error.message === 'string'
}

/** Values that mean something to the server, so that some inputs get far. */
async function realValues({ call, clientId, userId, email }: Person): Promise<unknown[]> {
  const agent = await call('POST', '/api/v1/agents/', { client_id: clientId, name: 'target', type: 'llm', model: 'demo/echo' })
  const key = await call('POST', '/api/v1/agents/apikeys/', {
    client_id: clientId,
    name: 'k',
    provider: 'openai',
    key_value: 'sk-12345678',
  })
  const chat = await call('POST', `/api/v1/chat/${agent.body.id}/fuzz`, { message: 'hello' })
  const ids = [
    agent.body.id,
    agent.body.config.api_key,
    key.body.id,
    `fuzz_${agent.body.id}`,
    chat.body.message_history?.[0]?.invocation_id,
  ]
  const words = [
    'llm',
    'demo/echo',
    'openai',
    'name',
    'asc',
    'true',
    'retry',
    'cancel',
    'create',
    'a2a',
    'workflow',
    '2026-01-01T00:00:00Z',
  ]
  return [...ids, clientId, userId, email, PASSWORD, ...words]
}

const NAMES = [
  ...[
    'client_id',
    'name',
    'type',
    'model',
    'config',
    'description',
    'instruction',
    'api_key_id',
    'folder_id',
    'agent_card_url',
    'role',
    'goal',
  ],
  ...['email', 'password', 'new_password', 'current_password', 'token', 'message', 'files', 'provider', 'key_value', 'is_active', 'step'],
  ...[
    'decision',
    'result',
    'tools',
    'custom_tools',
    'http_tools',
    'mcp_servers',
    'custom_mcp_servers',
    'workflow',
    'sub_agents',
    'id',
    'data',
  ],
  ...['filename', 'content_type', 'constructor', '__proto__', 'toString', '', 'a/b~c', '\u0000', '🙂', 'length', '0', '$ref'],
]
const QUERY_NAMES = [
  'limit',
  'skip',
  'folder_id',
  'sort_by',
  'sort_direction',
  'stream',
  'on_disconnect',
  'action',
  'start_date',
  'end_date',
  'user_id',
  'x',
]
const TEXTS = [
  '',
  ' ',
  '\u0000',
  '\u001b[2J',
  '\ud800',
  '\uffff',
  '🙂'.repeat(50),
  "' or 1=1 --",
  '../../etc/passwd',
  '$' + '{x}',
  '{{x}}',
  '%00',
  '%',
  '%s',
  '&',
  '#',
]
const NUMBERS = [0, -0, -1, 1, 1.5, 1e21, 1e308, -1e308, 2 ** 31, 2 ** 53, 2 ** 63, 5e-324]
const HEADERS = [
  'x-client-id',
  'x-api-key',
  'idempotency-key',
  'last-event-id',
  'accept',
  'traceparent',
  'user-agent',
  'x-forwarded-for',
  'range',
  'origin',
]

type Random = ReturnType<typeof generator>

/** Mulberry32: small, and the same everywhere. */
function generator(start: number) {
  let state = start
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (end: number) => Math.floor(next() * end)
  return { below, chance: (share: number) => next() < share, pick: <T>(list: readonly T[]): T => list[below(list.length)] as T }
}

function inventRequest({ method, path }: RouteInfo, random: Random): Invented {
  const segment = () => (random.chance(0.6) ? String(random.pick(vocabulary)) : inventText(random))
  const filled = path.replaceAll(/:\w+/g, () => encoded(segment(), random) || 'x')
  const query = Array.from({ length: random.below(3) }, () => `${random.pick(QUERY_NAMES)}=${encoded(segment(), random)}`).join('&')
  const headers: Record<string, string> = {}
  for (let i = random.below(3); i > 0; i--) headers[random.pick(HEADERS)] = headerText(segment())
  if (random.chance(0.5)) headers['x-client-id'] = app.ada.clientId
  const hasBody = method === 'POST' || method === 'PUT' || random.chance(0.05)
  const body = hasBody && method !== 'GET' ? inventBody(random) : undefined
  if (body !== undefined)
    headers['content-type'] = random.chance(0.95) ? 'application/json' : random.pick(['text/plain', 'multipart/form-data', 'x'])
  return {
    method: method === 'GET' && random.chance(0.05) ? 'HEAD' : method,
    path: query === '' ? filled : `${filled}?${query}`,
    headers,
    body,
  }
}

function inventBody(random: Random): string {
  const text = JSON.stringify(inventObject(random, 0)) ?? 'null'
  if (random.chance(0.9)) return text
  const at = random.below(text.length + 1)
  return random.pick([
    text.slice(0, at),
    `${text.slice(0, at)}${inventText(random)}${text.slice(at)}`,
    `${text}${text}`,
    '[[[[',
    '"',
    '1e999',
    'nul',
  ])
}

function inventObject(random: Random, depth: number): Record<string, unknown> {
  const entries = Array.from({ length: random.below(7) }, (): [string, unknown] => [random.pick(NAMES), inventValue(random, depth + 1)])
  // So that a request is complete now and then, and its other fields are looked at.
  if (depth === 0 && random.chance(0.5))
    entries.push(['client_id', app.ada.clientId], ['type', 'llm'], ['name', 'fuzz'], ['model', 'demo/echo'])
  return Object.fromEntries(entries)
}

function inventValue(random: Random, depth: number): unknown {
  const kind = random.below(depth > 4 ? 5 : 8)
  if (kind === 0) return random.pick([null, true, false])
  if (kind === 1) return random.pick(NUMBERS)
  if (kind === 2) return inventText(random)
  if (kind < 5) return random.pick(vocabulary)
  if (kind === 5) return Array.from({ length: random.below(4) }, () => inventValue(random, depth + 1))
  return inventObject(random, depth)
}

function inventText(random: Random): string {
  if (random.chance(0.7)) return random.pick(TEXTS)
  return Array.from({ length: random.below(40) }, () =>
    String.fromCodePoint(random.chance(0.9) ? random.below(0x250) : random.below(0xd800)),
  ).join('')
}

/** Mostly as a browser would; sometimes with what only an attacker sends. */
function encoded(text: string, random: Random): string {
  if (random.chance(0.05)) return random.pick(['%', '%zz', '%00', '%c0%ae', '%ed%a0%80', '..%2f..%2f', '.', '..', '%23', '%3f'])
  return encodeURIComponent(text.toWellFormed())
}

const headerText = (text: string) => text.replaceAll(/[^\x20-\x7e\xa0-\xff]/g, '') || 'x'
