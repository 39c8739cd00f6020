import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import type { Database } from '~/platform/db'
import { silentLog } from '~/platform/log'
import { createRedis } from '~/platform/redis'
import { migrate } from '../../db/migrate'
import { childrenOf } from '../bench/child'
import { median } from '../bench/rounds'
import { openDatabase, seedAgents, seedPeople, signIn } from '../bench/seed'
import { randomSecret, startApi, startPostgres, startRedis, startRole } from '../bench/stage'
import { demandWrk, type Load, type Measured, runWrk } from '../bench/wrk'
import { until } from '../support/until'
import { type Memory, watchMemory } from './memory-watch'
import { printTable } from './stage'

/** What the API answers meanwhile, in milliseconds: medians of the rounds. */
interface Latency {
  p50: number
  p99: number
}

export interface MailFlood {
  mails: number
  delivered: number
  repeated: number
  /** By one worker, with a provider that takes its time, and with one that answers at once. */
  pacedPerSecond: number
  flatOutPerSecond: number
  /** From asking for a new password to the provider's having the mail: while nothing waits, and while all of it does. */
  resetsBeforeMs: number[]
  resetsMs: number[]
  before: Latency
  during: Latency
  /** With a provider that answers at once, so that the worker takes all of the processors that it gets. */
  flatOut: Latency
  worker: Memory
  redis: Memory
  mostInStream: number
  passed: boolean
}

const PREFIX = 'flood:'
/** As long as SendGrid takes. */
const ANSWER_MS = 100
const RESET_EVERY_MS = 1000
const ROUNDS = 5
const ROUND_SECONDS = 6
const STALL_MS = 60_000
/** What a drill may take; the memory is what grows over that of the idle process. */
const BOUNDS = { perSecond: 50, resetMs: 5000, workerMb: 256, redisMb: 32 }

/**
 * F-23: mails that nobody waits for, all committed at once, behind which somebody asks for a new password each second and others read their agents. One
 * API process and one worker as in production, PostgreSQL with its log on the disk and its autovacuum.
 */
export async function runMailFlood({ mails, log }: { mails: number; log: (line: string) => void }): Promise<MailFlood> {
  await demandWrk()
  await using stack = new AsyncDisposableStack()
  const folder = mkdtempSync(join(tmpdir(), 'evo-flood-'))
  stack.defer(() => rmSync(folder, { recursive: true, force: true }))
  const [{ url: databaseUrl }, { url: redisUrl }] = await Promise.all([
    startPostgres(stack, { fsync: 'on', autovacuum: 'on' }),
    startRedis(stack, folder),
  ])
  await migrate({ url: databaseUrl, log: silentLog })
  const people = await seedPeople(databaseUrl)
  const sink = startSink()
  stack.defer(() => sink.stop())
  const env = {
    DATABASE_URL: databaseUrl,
    REDIS_URL: redisUrl,
    ENCRYPTION_KEY: randomSecret(),
    EMAIL_PROVIDER: 'sendgrid',
    SENDGRID_API_KEY: `SG.${randomSecret()}`,
    SENDGRID_BASE_URL: sink.url,
    REDIS_KEY_PREFIX: PREFIX,
    RATE_MAIL_REQUESTS_PER_HOUR: '100000',
  }
  const api = await startApi(stack, env, folder)
  const role = startRole(stack, 'worker', env, folder)
  const database = openDatabase(databaseUrl)
  stack.defer(() => database.close())
  const redis = createRedis({ url: redisUrl, keyPrefix: PREFIX, commandTimeoutMs: 5000, name: 'flood', log: silentLog })
  stack.defer(() => redis.close())
  await redis.ready(5000)
  const userIds = await addUsers(database, people.reader.clientId, mails)
  const load = await readingLoad(api.url, people.reader)

  const measure = async () => {
    const rounds: Measured[] = []
    for (let round = 0; round < ROUNDS; round++) rounds.push(await runWrk(api.url, load, { seconds: ROUND_SECONDS, folder }))
    return { p50: median(rounds.map(({ p50Ms }) => p50Ms)), p99: median(rounds.map(({ p99Ms }) => p99Ms)) }
  }
  const resets = askForResets(api.url, sink)
  stack.defer(() => resets.stop())
  // Code that runs for the first time is slow, on either side.
  await measure()
  const before = await measure()
  const resetsBeforeMs = resets.soFar()
  log(`before: p50 ${before.p50.toFixed(2)} ms, p99 ${before.p99.toFixed(2)} ms`)

  const watch = watchMemory(() => childrenOf(role.pid)[0], redis)
  stack.defer(async () => void (await watch.stop()))
  await watch.idle()
  const startedAt = performance.now()
  await commitAll(database, userIds)
  await until(() => sink.bulk.size > 0, STALL_MS)
  const during = await measure()
  const [paced, pacedMs] = [sink.bulk.size, performance.now() - startedAt]
  log(`during: p50 ${during.p50.toFixed(2)} ms, p99 ${during.p99.toFixed(2)} ms; ${paced} of ${mails} delivered`)

  sink.answerMs = 0
  const flatOutAt = performance.now()
  const flatOut = await measure()
  log(`flat out: p50 ${flatOut.p50.toFixed(2)} ms, p99 ${flatOut.p99.toFixed(2)} ms; ${sink.bulk.size} of ${mails} delivered`)
  await untilAll(sink, mails, log)
  const flatOutMs = sink.lastAt - flatOutAt
  const resetsMs = resets.soFar()
  await resets.stop()
  await until(() => sink.outstanding.size === 0, STALL_MS)
  const { worker, redis: ofRedis, mostInStream } = await watch.stop()
  const flood = {
    mails,
    delivered: sink.bulk.size,
    repeated: sink.repeated,
    pacedPerSecond: (paced * 1000) / pacedMs,
    flatOutPerSecond: ((mails - paced) * 1000) / flatOutMs,
    resetsBeforeMs,
    resetsMs,
    before,
    during,
    flatOut,
    worker,
    redis: ofRedis,
    mostInStream,
  }
  return { ...flood, passed: isGood(flood) }
}

const isGood = ({ mails, delivered, repeated, pacedPerSecond, resetsMs, worker, redis }: Omit<MailFlood, 'passed'>) =>
  delivered === mails &&
  repeated === 0 &&
  pacedPerSecond >= BOUNDS.perSecond &&
  resetsMs.length > 0 &&
  Math.max(...resetsMs) <= BOUNDS.resetMs &&
  worker.mostMb - worker.idleMb <= BOUNDS.workerMb &&
  redis.mostMb - redis.idleMb <= BOUNDS.redisMb

type Sink = ReturnType<typeof startSink>

/** A mail provider that takes everything, once its answer is due. */
function startSink() {
  const bulk = new Set<string>()
  const outstanding = new Map<string, () => void>()
  const sink = { bulk, outstanding, repeated: 0, lastAt: 0, answerMs: ANSWER_MS }
  const take = (to: string) => {
    if (bulk.has(to)) sink.repeated += 1
    else sink.lastAt = performance.now()
    bulk.add(to)
  }
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    routes: {
      '/v3/mail/send': {
        async POST(request) {
          const { subject, personalizations } = (await request.json()) as SunkMail
          const to = personalizations[0]?.to[0]?.email ?? ''
          if (subject === RESET) outstanding.get(to)?.()
          else take(to)
          if (sink.answerMs > 0) await Bun.sleep(sink.answerMs)
          return new Response(null, { status: 202, headers: { 'x-message-id': crypto.randomUUID() } })
        },
      },
    },
  })
  return Object.assign(sink, { url: server.url.origin, stop: () => server.stop(true) })
}

const RESET = 'Password Reset - Evo AI'

interface SunkMail {
  subject: string
  personalizations: { to: { email: string }[] }[]
}

/** Somebody else each time, as nobody is sent more than a few. */
function askForResets(apiUrl: string, { outstanding }: Sink) {
  let took: number[] = []
  let number = 0
  let asking: Promise<unknown> = Promise.resolve()
  const ask = async () => {
    number += 1
    const email = addressOf(number)
    const askedAt = performance.now()
    outstanding.set(email, () => {
      took.push(performance.now() - askedAt)
      outstanding.delete(email)
    })
    const answer = await fetch(`${apiUrl}/api/v1/auth/forgot-password`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email }),
    })
    if (!answer.ok) throw new Error(`no mail was asked for: ${answer.status} ${await answer.text()}`)
  }
  const timer = setInterval(() => {
    asking = Promise.all([asking, ask()])
  }, RESET_EVERY_MS)
  return {
    /** Of those that have arrived since this was last asked. */
    soFar() {
      const arrived = took
      took = []
      return arrived
    },
    async stop() {
      clearInterval(timer)
      await asking
    },
  }
}

const addressOf = (number: number) => `flood-${number}@example.com`

async function addUsers({ db }: Database, clientId: string, count: number): Promise<string[]> {
  const rows = await db.execute<{ id: string }>(sql`
    insert into users (client_id, role, email, password_hash, is_active, email_verified)
    select ${clientId}, 'member', 'flood-' || n || '@example.com', 'x', true, true from generate_series(1, ${count}::int) n returning id`)
  await db.execute(sql`analyze users`)
  return rows.map(({ id }) => id)
}

/** In one transaction, and told to nobody: the sweeper finds them. */
async function commitAll({ db }: Database, userIds: string[]) {
  await db.execute(sql`
    insert into outbox (id, kind, payload)
    select gen_random_uuid(), 'email-bulk', jsonb_build_object('template', 'welcome', 'user_id', id)
    from jsonb_array_elements_text(${JSON.stringify(userIds)}::jsonb) as id`)
}

/** Some hundred requests a second, which leaves the processors free: what is asked is how long one takes. */
async function readingLoad(apiUrl: string, { email, clientId }: { email: string; clientId: string }): Promise<Load> {
  const token = await signIn(apiUrl, email)
  const agentIds = await seedAgents(apiUrl, token, clientId)
  const headers = { authorization: `Bearer ${token}`, 'x-client-id': clientId }
  return { method: 'GET', paths: agentIds.map((id) => `/api/v1/agents/${id}`), headers, pauseMs: 100 }
}

/** Or until none has come for a while. */
async function untilAll({ bulk }: Sink, mails: number, log: (line: string) => void) {
  let [seen, movedAt, saidAt] = [bulk.size, performance.now(), performance.now()]
  while (bulk.size < mails && performance.now() - movedAt < STALL_MS) {
    if (bulk.size > seen) [seen, movedAt] = [bulk.size, performance.now()]
    if (performance.now() - saidAt > 10_000) {
      log(`${seen} of ${mails} delivered`)
      saidAt = performance.now()
    }
    await Bun.sleep(20)
  }
}

export function printMailFlood(flood: MailFlood) {
  const { mails, delivered, repeated, pacedPerSecond, flatOutPerSecond, resetsBeforeMs, resetsMs, before, during, flatOut } = flood
  const told = ({ p50, p99 }: Latency) => `${p50.toFixed(2)} / ${p99.toFixed(2)} ms (p99 ${(p99 / before.p99).toFixed(2)} times)`
  const waited = (times: number[]) => `${Math.round(median(times))} / ${Math.round(Math.max(...times))} ms, of ${times.length}`
  const grown = ({ idleMb, mostMb }: Memory) => `${Math.round(idleMb)} MB, ${Math.round(mostMb)} MB at most`
  printTable(`drill:mail, flood: ${flood.passed ? 'passed' : 'FAILED'}`, [
    ['mails committed at once', mails],
    ['delivered / repeated', `${delivered} / ${repeated}`],
    [`mails/s of one worker, a provider of ${ANSWER_MS} ms`, Math.round(pacedPerSecond)],
    ['the same, a provider that answers at once', Math.round(flatOutPerSecond)],
    ['a reset mail under way, p50 / most, before', waited(resetsBeforeMs)],
    ['the same, while the others wait', waited(resetsMs)],
    ['reading an agent, p50 / p99, before', told(before)],
    [`the same, while the others go to a provider of ${ANSWER_MS} ms`, told(during)],
    ['the same, to one that answers at once', told(flatOut)],
    ['worker', grown(flood.worker)],
    ['Redis', grown(flood.redis)],
    ['most entries in the stream', flood.mostInStream],
  ])
}
