import { generateKeyPairSync, sign } from 'node:crypto'
import { sql } from 'drizzle-orm'
import { createMailEventService } from '~/features/mail/event-service'
import { systemClock } from '~/platform/clock'
import { silentLog } from '~/platform/log'
import { readOrExit } from '../bench/run-to-end'
import { readDrill } from './arguments'
import { type Sink, startSink } from './sink'
import { createBlows, pick, printTable, type Stage, setStage } from './stage'

export const MODES = ['events', 'blind', 'loss', 'no-sweeper'] as const
/**
 * - `events`: the provider reports what it took, which settles mails of unknown outcome. Redis is killed twice and finds its data again.
 * - `blind`: the same without reports: what may have been sent is sent again after its hold.
 * - `loss`: as `events`, but Redis loses everything, fifteen times.
 * - `no-sweeper`: the same with the sweeper off. Mails must be lost, or the drill could not fail.
 */
export type Mode = (typeof MODES)[number]

export interface Repeat {
  deliveryId: string
  times: number
  /** Between two times, the shortest. Less than the hold says that somebody did not wait for it, which no kill excuses. */
  afterMs: number
}

export interface MailDrill {
  mode: Mode
  mails: number
  delivered: number
  lost: number
  repeats: Repeat[]
  mostRepeats: number
  kills: number
  redisKills: number
  refused: number
  unanswered: number
  /** From the provider's taking a mail to our having worked in its report. Longer than the hold, and a mail may be sent twice. */
  slowestReportMs: number
  seconds: number
  passed: boolean
}

interface Options {
  databaseUrl: string
  mode: Mode
  mails: number
  kills?: number
  redisKills?: number
  workers?: number
  /** How long a mail of unknown outcome waits for its report; the server's own default is two minutes. */
  holdSeconds?: number
  log?: (line: string) => void
}

/** Fewer than a worker has by default, so that the bound on repeats says something. As many again may be repetitions. */
const CONCURRENCY = 8
const IN_FLIGHT = 2 * CONCURRENCY
const STALL_MS = 45_000
const STALL_UNSWEPT_MS = 15_000

export async function runMailDrill({
  databaseUrl,
  mode,
  mails,
  kills = Math.min(200, Math.ceil(mails / 50)),
  redisKills = mode === 'loss' || mode === 'no-sweeper' ? 15 : 2,
  workers = 2,
  holdSeconds = 5,
  log = () => {},
}: Options): Promise<MailDrill> {
  const startedAt = performance.now()
  const stage = await setStage(databaseUrl)
  const reporter = createReporter(stage, mode !== 'blind')
  const sink = await startSink({ onTaken: reporter.tell })
  try {
    const clientId = await stage.addClient()
    await stage.database.db.execute(sql`
      insert into users (client_id, role, email, password_hash)
      select ${clientId}, 'member', 'drill-' || n || '-' || ${clientId}::text || '@drill.example', 'x' from generate_series(1, ${mails}::int) n`)
    const sweeps = mode !== 'no-sweeper'
    const order = {
      sendgridUrl: sink.url,
      claimAfterMs: 1500,
      holdSeconds,
      firstRetryMs: 300,
      leaseMarginMs: 2000,
      concurrency: CONCURRENCY,
      retryUnfinishedMs: 4000,
    }
    const victims = [
      ...Array.from({ length: workers }, (_, index) =>
        stage.keep('worker', { ...order, queues: ['email', ...(sweeps && index === 0 ? (['sweeper'] as const) : [])] }),
      ),
      stage.keep('producer', { kind: 'email', clientIds: [clientId], perClient: mails }),
    ]
    const deaths = createBlows(kills, () => pick(victims).kill())
    const restarts = createBlows(redisKills, () => stage.killRedis({ loseAll: mode === 'loss' || mode === 'no-sweeper' }))
    await untilSettled({ stage, clientId, mails, stallMs: sweeps ? STALL_MS : STALL_UNSWEPT_MS, deaths, restarts, log })
    // What was sent while the last one was killed is still on its way.
    await reporter.flush()
    const slowestReportMs = reporter.slowestMs()
    return {
      slowestReportMs,
      ...judge({ mode, mails, sink, kills: deaths.struck, redisKills: restarts.struck, seconds: (performance.now() - startedAt) / 1000 }),
    }
  } finally {
    await reporter.stop()
    await stage.close()
    await sink.close()
  }
}

interface Settling {
  stage: Stage
  clientId: string
  mails: number
  stallMs: number
  deaths: ReturnType<typeof createBlows>
  restarts: ReturnType<typeof createBlows>
  log: (line: string) => void
}

/** Until every mail is done, or nothing has moved for `stallMs`. */
async function untilSettled({ stage, clientId, mails, stallMs, deaths, restarts, log }: Settling) {
  let done = -1
  let movedAt = performance.now()
  let saidAt = performance.now()
  for (;;) {
    const [row] = await stage.database.db.execute<{ done: number }>(sql`
      select count(*)::int as done from users join outbox on outbox.kind = 'email' and outbox.payload->>'user_id' = users.id::text
      where users.client_id = ${clientId} and outbox.done_at is not null`)
    const now = row?.done ?? 0
    if (now !== done) movedAt = performance.now()
    done = now
    if (performance.now() - saidAt > 10_000) {
      log(`${done} of ${mails} done, ${deaths.struck} processes and ${restarts.struck} times Redis killed`)
      saidAt = performance.now()
    }
    if (done >= mails || performance.now() - movedAt > stallMs) return
    await deaths.at(done / mails)
    await restarts.at(done / mails)
    await Bun.sleep(150)
  }
}

function judge({
  mode,
  mails,
  sink,
  kills,
  redisKills,
  seconds,
}: {
  mode: Mode
  mails: number
  sink: Sink
  kills: number
  redisKills: number
  seconds: number
}): Omit<MailDrill, 'slowestReportMs'> {
  const repeats = [...sink.taken].flatMap(([deliveryId, taken]) => (taken.length > 1 ? [repeatOf(deliveryId, taken)] : []))
  const repeated = repeats.reduce((sum, { times }) => sum + times - 1, 0)
  // Without reports each kill may repeat what was in flight, and so may each mail whose answer never came.
  const mostRepeats = mode === 'blind' ? kills * IN_FLIGHT + sink.unanswered * 2 : Math.max(2, Math.ceil(mails / 1000))
  const lost = mails - sink.taken.size
  return {
    mode,
    mails,
    delivered: sink.taken.size,
    lost,
    repeats,
    mostRepeats,
    kills,
    redisKills,
    refused: sink.refused,
    unanswered: sink.unanswered,
    seconds,
    passed: mode === 'no-sweeper' ? lost > 0 : lost === 0 && repeated <= mostRepeats,
  }
}

const repeatOf = (deliveryId: string, taken: number[]): Repeat => ({
  deliveryId,
  times: taken.length,
  afterMs: Math.round(Math.min(...taken.slice(1).map((at, index) => at - (taken[index] ?? at)))),
})

/** Reports what the sink took as SendGrid does: signed, in batches, each event twice now and then. */
function createReporter(stage: Stage, isOn: boolean) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const service = createMailEventService({
    database: stage.database,
    log: silentLog,
    clock: systemClock,
    key: publicKey,
    toleranceSeconds: 60,
  })
  let waiting: object[] = []
  let slowestMs = 0
  const takenAt = new Map<object, number>()
  let isStopped = false
  const send = async () => {
    const events = waiting.splice(0)
    if (events.length === 0) return
    const body = Buffer.from(`${JSON.stringify(events)}\r\n`)
    const timestamp = String(Math.floor(Date.now() / 1000))
    const signature = sign('sha256', Buffer.concat([Buffer.from(timestamp), body]), privateKey).toString('base64')
    try {
      await service.receive({ body, timestamp, signature })
      for (const event of events) slowestMs = Math.max(slowestMs, performance.now() - (takenAt.get(event) ?? performance.now()))
    } catch {
      waiting = [...events, ...waiting] // not taken: told again, as SendGrid does
    }
  }
  const loop = (async () => {
    while (!isStopped) {
      await Bun.sleep(150)
      await send()
    }
  })()
  return {
    tell(deliveryId: string) {
      if (!isOn) return
      const event = {
        sg_event_id: crypto.randomUUID(),
        event: 'processed',
        delivery_id: deliveryId,
        timestamp: Math.floor(Date.now() / 1000),
      }
      takenAt.set(event, performance.now())
      waiting.push(event, ...(Math.random() < 0.05 ? [event] : []))
    },
    flush: send,
    slowestMs: () => Math.round(slowestMs),
    async stop() {
      isStopped = true
      await loop
    },
  }
}

export function printMailDrill(drill: MailDrill) {
  const { mode, mails, delivered, lost, repeats, mostRepeats, kills, redisKills, refused, unanswered, slowestReportMs, seconds, passed } =
    drill
  printTable(`drill:mail, ${mode}: ${passed ? 'passed' : 'FAILED'}`, [
    ['mails', mails],
    ['delivered', delivered],
    ['lost', mode === 'no-sweeper' ? `${lost} (some must be)` : lost],
    ['repeats', `${repeats.reduce((sum, { times }) => sum + times - 1, 0)} (at most ${mostRepeats})`],
    ['processes killed', kills],
    ['Redis killed', `${redisKills} times${mode === 'loss' || mode === 'no-sweeper' ? ', losing everything' : ''}`],
    ['calls refused / unanswered', `${refused} / ${unanswered}`],
    ['slowest report', mode === 'blind' ? 'none are made' : `${slowestReportMs} ms`],
    ['seconds', seconds.toFixed(1)],
  ])
  for (const { deliveryId, times, afterMs } of repeats) process.stdout.write(`  ${deliveryId} ${times} times, ${afterMs} ms apart\n`)
}

if (import.meta.main) {
  const usage = `bun run drill:mail [--mode ${MODES.join(',')}] [--mails n]\nbun run drill:mail --mode flood [--mails n]`
  const known = { modes: [...MODES, 'flood'], counted: 'mails' } as const
  const { modes: asked, count } = readOrExit(() => readDrill(process.argv.slice(2), known), usage)
  const killing = MODES.filter((mode) => asked?.includes(mode) ?? true)
  if (killing.length > 0) await kill(killing, count ?? 10_000)
  if (asked?.includes('flood')) await flood(count ?? 100_000)
  process.exit()
}

async function kill(modes: readonly Mode[], mails: number) {
  const { withDatabase } = await import('./database')
  await withDatabase(async (databaseUrl) => {
    for (const mode of modes) {
      const drill = await runMailDrill({ databaseUrl, mode, mails, log: (line) => process.stderr.write(`${mode}: ${line}\n`) })
      printMailDrill(drill)
      if (!drill.passed) process.exitCode = 1
    }
  })
}

/** Nothing is killed: see mail-flood.ts. */
async function flood(mails: number) {
  const { printMailFlood, runMailFlood } = await import('./mail-flood')
  const found = await runMailFlood({ mails, log: (line) => process.stderr.write(`flood: ${line}\n`) })
  printMailFlood(found)
  if (!found.passed) process.exitCode = 1
}
