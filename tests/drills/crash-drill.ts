import postgres from 'postgres'
import { readEvents, type StreamedEvent } from '../support/events'
import { startProcesses } from './processes'

export interface CrashDrill {
  databaseUrl: string
  redisUrl: string
  runs: number
  /** Clients at the same time. */
  clients: number
  killEveryMs: number
  apis: number
  workers: number
  /** Signs in to the server at `url`. */
  signIn(url: string): Promise<{ clientId: string; token: string }>
  onProgress?(done: number, kills: number): void
}

export interface CrashReport {
  runs: number
  kills: number
  seconds: number
  /** How runs ended, before anybody decided about anything. */
  outcomes: Record<string, number>
  /** Effects of the tool that were done twice without anybody having said so. */
  doubled: number
  /** Effects that a run took for done and that were not. */
  lost: number
  /** Runs that waited for a decision: how the tool's own count decided it. */
  reconciled: { done: number; retried: number }
  /** Connections that broke and were taken up again. */
  resumed: number
  /** Clients that saw an event twice, or missed one. */
  badStreams: number
  /** Runs that did not end, or whose answer is not what the tool said. */
  failures: string[]
}

const TICKETS_PER_RUN = 2
/** On a machine where a process takes longer to start than to be killed again, little goes on for long. */
const PATIENCE_MS = 600_000

/**
 * Runs that book tickets with a tool that must not be called twice, while processes are killed at random. Each run calls the tool twice side by
 * side, and its client comes back with `Last-Event-ID` whenever the connection breaks.
 */
export async function crashDrill({ runs, clients, killEveryMs, onProgress, signIn, ...place }: CrashDrill): Promise<CrashReport> {
  const booked = new Map<string, number>()
  const office = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const { ticket } = (await request.json()) as { ticket: string }
      // The process may die before the effect, after it, or on the way back.
      await Bun.sleep(Math.random() * 40)
      booked.set(ticket, (booked.get(ticket) ?? 0) + 1)
      await Bun.sleep(Math.random() * 40)
      return Response.json({ booked: ticket })
    },
  })
  const processes = await startProcesses({
    apis: place.apis,
    workers: place.workers,
    env: {
      DATABASE_URL: place.databaseUrl,
      REDIS_URL: place.redisUrl,
      REDIS_KEY_PREFIX: `drill-${crypto.randomUUID()}:`,
      OUTBOUND_ALLOW: '127.0.0.1',
      RUN_LEASE_SECONDS: '2',
      // A machine on which processes start slowly spends most of it on starting.
      RUN_TIMEOUT_SECONDS: '3600',
      RUNS_PER_CLIENT: '1000',
      RATE_CHATS_PER_MINUTE: '1000000',
      RATE_REQUESTS_PER_MINUTE: '1000000',
      BCRYPT_COST: '4',
    },
  })
  const started = performance.now()
  const report: CrashReport = {
    runs,
    kills: 0,
    seconds: 0,
    outcomes: {},
    doubled: 0,
    lost: 0,
    reconciled: { done: 0, retried: 0 },
    resumed: 0,
    badStreams: 0,
    failures: [],
  }
  let killer: ReturnType<typeof setInterval> | undefined
  try {
    const { clientId, token } = await signIn(processes.url)
    const client = createClient(processes.url, token)
    const agentId = await client.define(clientId, office.port ?? 0)
    killer = setInterval(() => {
      if (processes.killOne()) report.kills += 1
    }, killEveryMs)
    let next = 0
    let done = 0
    const work = async () => {
      for (let number = next++; number < runs; number = next++) {
        await oneRun(client, agentId, number, booked, report)
        onProgress?.(++done, report.kills)
      }
    }
    await Promise.race([Promise.all(Array.from({ length: clients }, work)), processes.broken])
  } finally {
    clearInterval(killer)
    await processes.stop()
    await office.stop(true)
  }
  report.failures.push(...(await tornLogs(place.databaseUrl)))
  report.seconds = Math.round((performance.now() - started) / 100) / 10
  return report
}

/** What was shown comes from Redis, and is gone there within the hour: PostgreSQL must have each entry too. */
async function tornLogs(databaseUrl: string): Promise<string[]> {
  const sql = postgres(databaseUrl, { max: 1 })
  try {
    const logs = await sql<{ run_id: string; last: number; stored: number }[]>`
      select run_id, max(last_seq)::int4 as last, sum(jsonb_array_length(events))::int4 as stored from run_events
      group by run_id having max(last_seq) <> sum(jsonb_array_length(events))`
    return logs.map(({ run_id, last, stored }) => `of ${last} entries of run ${run_id} ${stored} are stored`)
  } finally {
    await sql.end()
  }
}

async function oneRun(
  client: ReturnType<typeof createClient>,
  agentId: string,
  number: number,
  booked: Map<string, number>,
  report: CrashReport,
) {
  const tickets = Array.from({ length: TICKETS_PER_RUN }, (_, index) => `${number}-${index}`)
  // Slow enough that its words are stored in several chunks, and that a process dies between two of them now and then.
  const message = ['/slow 60', ...tickets.map((ticket) => `/tool book {"ticket": "${ticket}"}`)].join('\n')
  const events: StreamedEvent[] = []
  try {
    await client.watch(events, { agentId, session: `drill-${number}`, message, report })
    let run = await client.runOf(events)
    report.outcomes[run.status] = (report.outcomes[run.status] ?? 0) + 1
    report.doubled += tickets.filter((ticket) => (booked.get(ticket) ?? 0) > 1).length
    if (run.status === 'succeeded') report.lost += tickets.filter((ticket) => !booked.has(ticket)).length
    // Somebody looks what became of it, and says so.
    for (let round = 0; run.status === 'needs_reconcile' && round < 10; round++) {
      const step = String(run.waiting_for.step)
      const ticket = tickets[Number(step.split(':')[2])] as string
      const decision = booked.has(ticket) ? 'done' : 'retry'
      await client.reconcile(run.id, { step, decision, ...(decision === 'done' ? { result: { booked: ticket } } : {}) })
      report.reconciled[decision === 'done' ? 'done' : 'retried'] += 1
      await client.watch(events, { agentId, session: '', message: '', report })
      run = await client.runOf(events)
    }
    if (run.status !== 'succeeded') report.failures.push(`run ${number} is ${run.status} ${JSON.stringify(run.error)}`)
    for (const ticket of tickets) {
      const count = booked.get(ticket) ?? 0
      if (count !== 1) report.failures.push(`ticket ${ticket} was booked ${count} times`)
      if (!String(run.result?.response).includes(`"booked":"${ticket}"`))
        report.failures.push(`run ${number} does not know ticket ${ticket}`)
    }
    const ids = events.map(({ id }) => id)
    const messages = events.flatMap(({ type, data }) => (type === 'message' ? [data.id] : []))
    if (!ids.every((id, index) => id === index + 1) || new Set(messages).size !== 3 || messages.length !== 3) {
      report.badStreams += 1
      report.failures.push(`run ${number}: events ${ids.join(',')}, ${messages.length} messages`)
    }
  } catch (error) {
    report.failures.push(`run ${number}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** A client that does not give up. */
function createClient(url: string, token: string) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const insist = async (path: string, init: RequestInit = {}, taken: number[] = []): Promise<Response> => {
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      try {
        const response = await fetch(`${url}${path}`, { ...init, headers: { ...headers, ...init.headers }, keepalive: false })
        if (taken.includes(response.status) || (response.status < 500 && response.status !== 429 && response.status !== 409))
          return response
        await response.text()
      } catch (error) {
        if (performance.now() > deadline) throw error
      }
      if (performance.now() > deadline) throw new Error(`${path} was never answered`)
      await Bun.sleep(50 + Math.random() * 100)
    }
  }
  /** The process may die in the middle of its answer, too. */
  const insistOnJson = async (path: string, init: RequestInit = {}): Promise<unknown> => {
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      const response = await insist(path, init)
      try {
        return await response.json()
      } catch (error) {
        if (performance.now() > deadline) throw error
      }
    }
  }
  const isSettled = ({ type }: StreamedEvent) => /^run-(finished|failed|cancelled|waiting)$/.test(type)

  return {
    async define(clientId: string, port: number): Promise<string> {
      const http_tools = [
        {
          name: 'book',
          method: 'POST',
          endpoint: `http://127.0.0.1:${port}/book`,
          description: 'Books a ticket',
          parameters: { body_params: { ticket: { type: 'string', required: true } } },
        },
      ]
      const agent = { client_id: clientId, name: 'clerk', type: 'llm', model: 'demo/echo', config: { custom_tools: { http_tools } } }
      const key = { 'idempotency-key': crypto.randomUUID() }
      return ((await insistOnJson('/api/v1/agents/', { method: 'POST', body: JSON.stringify(agent), headers: key })) as { id: string }).id
    },

    /** Adds to `events` what comes, until the run has ended or waits for somebody. */
    async watch(
      events: StreamedEvent[],
      { agentId, session, message, report }: { agentId: string; session: string; message: string; report: CrashReport },
    ) {
      const key = { 'idempotency-key': crypto.randomUUID() }
      const deadline = performance.now() + PATIENCE_MS
      let isFirst = events.length === 0
      let seen = 0
      const take = (event: StreamedEvent) => {
        // Says why a stream was cut, and is no part of the log.
        if (event.type === 'error') return false
        events.push(event)
        seen += 1
        return isSettled(event)
      }
      while (seen === 0 || !isSettled(events.at(-1) as StreamedEvent)) {
        if (performance.now() > deadline) throw new Error(`the stream never ended: ${events.at(-1)?.type}`)
        if (!isFirst) report.resumed += 1
        isFirst = false
        const response =
          events[0] === undefined
            ? await insist(`/api/v1/chat/${agentId}/${session}?stream=true`, {
                method: 'POST',
                body: JSON.stringify({ message }),
                headers: key,
              })
            : await insist(`/api/v1/runs/${events[0].data.run_id}/events`, { headers: { 'last-event-id': String(events.at(-1)?.id) } })
        await readEvents(response, take)
      }
    },

    async runOf([started]: StreamedEvent[]) {
      // biome-ignore lint/suspicious/noExplicitAny: a run as JSON
      return (await insistOnJson(`/api/v1/runs/${started?.data.run_id}`)) as any
    },

    /** Done twice it changes nothing: a run that does not wait any more says so (409), because the answer of an earlier try was lost. */
    async reconcile(runId: string, decision: object): Promise<void> {
      const path = `/api/v1/runs/${runId}/reconcile`
      const key = { 'idempotency-key': crypto.randomUUID() }
      const response = await insist(path, { method: 'POST', body: JSON.stringify(decision), headers: key }, [409])
      if (response.status !== 200 && response.status !== 409)
        throw new Error(`${path} answered ${response.status}: ${await response.text()}`)
    },
  }
}
