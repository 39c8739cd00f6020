import { sql } from 'drizzle-orm'
import { loadConfig } from '~/config'
import { insertClient, insertUser } from '~/features/users/queries'
import { createLog, type Log } from '~/platform/log'
import type { MemberRole } from '~/platform/principal'
import { createHttp } from '~/processes/api'
import { createServices } from '~/processes/services'
import { type ApiDocument, answerCheckOf, type CheckAnswer } from './documented-answers'

export interface Reply {
  status: number
  headers: Headers
  /** Parsed where it is JSON, else the text. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every shape
  body: any
}

export type Caller = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Reply>

export interface Person {
  call: Caller
  userId: string
  /** Empty for a platform admin. */
  clientId: string
  email: string
  token: string
}

export type TestApp = Awaited<ReturnType<typeof startApp>>

export const PASSWORD = 'correct horse battery'

/**
 * The whole HTTP surface on a port of its own, on the real PostgreSQL and Redis, emptied: Ada and Bob of two clients, an admin, and a stranger.
 * `env` overrides settings. Background workers do not run; see tests/workers. The caller closes it.
 */
export async function startApp(env: Record<string, string> = {}) {
  const lines: string[] = []
  const log: Log = createLog({ level: 'debug', write: (line) => lines.push(line) })
  const config = loadConfig({ ...process.env, ...TEST_SETTINGS, ...env })
  const services = createServices(config, { log, owner: `test-${crypto.randomUUID().slice(0, 8)}`, recoverEveryMs: 500 })
  const { database, redis } = services.stores
  await redis.ready(5000)
  await emptyStores(services)
  const app = createHttp(config, services, log)
  app.listen({ port: 0, hostname: '127.0.0.1' })
  const url = `http://127.0.0.1:${app.server?.port}`
  const document = await fetch(`${url}/openapi.json`)
  const callerAt = createCallerAt(url, answerCheckOf((await document.json()) as ApiDocument))
  const stranger = callerAt({})

  const passwordHash = await services.passwords.hash(PASSWORD)
  const signIn = async (email: string, clientName?: string): Promise<Person> => {
    const client = clientName === undefined ? undefined : await insertClient(database.db, { name: clientName, email })
    return join(email, client?.id ?? '', 'owner')
  }
  /** A person of that role in a client, signed in; without a client a platform admin. */
  const join = async (email: string, clientId: string, role: MemberRole): Promise<Person> => {
    const user = await insertUser(database.db, {
      email,
      passwordHash,
      isActive: true,
      emailVerified: true,
      isAdmin: clientId === '',
      ...(clientId === '' ? {} : { clientId, role }),
    })
    const login = await stranger('POST', '/api/v1/auth/login', { email, password: PASSWORD })
    if (user === undefined || login.status !== 200)
      throw new Error(`cannot sign in as ${email}: ${login.status} ${JSON.stringify(login.body)}`)
    const token = String(login.body.access_token)
    return { call: callerAt({ authorization: `Bearer ${token}` }), userId: user.id, clientId, email, token }
  }

  return {
    url,
    app,
    config,
    services,
    stranger,
    signIn,
    join,
    /** A caller with a token of your own. */
    callWith: (token: string) => callerAt({ authorization: `Bearer ${token}` }),
    ada: await signIn('ada@example.com', 'Ada Ltd'),
    bob: await signIn('bob@example.com', 'Bob Ltd'),
    admin: await signIn('root@example.com'),
    /** What was logged so far. */
    logged: () => lines.join('\n'),
    async close() {
      await services.runner.stop(0)
      await app.server?.stop(true)
      await services.close()
    },
  }
}

const TEST_SETTINGS = {
  JWT_SECRET_KEY: 'Zk3v9q0Yx7Lr2Wn8Tb5Hc1Md6Pf4Gs0Ja',
  ENCRYPTION_KEY: 'Qw8Er2Ty6Ui0Op4As9Df3Gh7Jk1Lz5Xc0V',
  BCRYPT_COST: '4',
  EMAIL_PROVIDER: 'mailbox',
  API_URL: 'http://localhost:8000',
  // Nobody is there: no test asks a provider by accident.
  OPENAI_BASE_URL: 'http://127.0.0.1:1',
  ANTHROPIC_BASE_URL: 'http://127.0.0.1:1',
  GEMINI_BASE_URL: 'http://127.0.0.1:1',
  RUN_LEASE_SECONDS: '3',
  RATE_SIGN_IN_PER_MINUTE: '100000',
  RATE_REFUSED_PER_MINUTE: '100000',
  RATE_MAIL_REQUESTS_PER_HOUR: '100000',
}

/** Callers whose every answer is held against the API document. */
const createCallerAt =
  (url: string, check: CheckAnswer) =>
  (own: Record<string, string>): Caller =>
  async (method, path, body, headers = {}) => {
    const sent =
      body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...own, ...headers } }
    const response = await fetch(`${url}${path}`, { method, headers: { ...own, ...headers }, redirect: 'manual', ...sent })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.includes('json') === true && text !== ''
    const reply = { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
    const [mediaType = ''] = (response.headers.get('content-type') ?? '').split(';')
    check(method, path, { ...reply, mediaType })
    return reply
  }

async function emptyStores({ stores: { database, redis } }: ReturnType<typeof createServices>) {
  await database.db.execute(
    sql`truncate clients, users, attempt_counters, outbox, deliveries, email_events, email_suppressions, dead_letters, audit_logs, audit_chains, idempotency_keys, mcp_servers, tools cascade`,
  )
  await redis.askServers((server) => server.flushdb())
}
