import { cpuMs, familyCpuMs, residentMb, type Served } from '../child'
import type { Options } from '../options'
import { type Finding, megabytes, ofRounds, round } from '../report'
import { alternate, median, type Side } from '../rounds'
import { forgetWrites, newAgent } from '../seed'
import type { Stage } from '../stage'
import { type Load, type Measured, runWrk } from '../wrk'

const NOTES = [
  'wrk, 32 connections; one API process, no worker; access and request log on, rate limit in force but out of reach',
  "processor time is a request's: of the side itself, all its threads, and of the stores that work for it",
]

interface Comparison {
  title: string
  load: Load
  leastRatio: number
  /** Of p99, server to floor. */
  mostP99?: number
  prepare?: () => Promise<void>
}

export const read = (stage: Stage, options: Options) =>
  compare(stage, options, {
    title: 'GET /api/v1/agents/{id}',
    load: { method: 'GET', paths: stage.agentIds.map((id) => `/api/v1/agents/${id}`), headers: readerHeaders(stage) },
    leastRatio: 0.8,
    mostP99: 1.3,
  })

export const list = (stage: Stage, options: Options) =>
  compare(stage, options, {
    title: 'GET /api/v1/agents/?limit=50 (of 200)',
    load: { method: 'GET', paths: ['/api/v1/agents/?limit=50'], headers: readerHeaders(stage) },
    leastRatio: 0.85,
  })

export const create = (stage: Stage, options: Options) => {
  const { clientId } = stage.people.writer
  return compare(stage, options, {
    title: 'POST /api/v1/agents/ (transaction: agent, audit entry in the outbox; then notice in Redis)',
    load: {
      method: 'POST',
      paths: ['/api/v1/agents/'],
      headers: { authorization: `Bearer ${stage.tokens.writer}`, 'content-type': 'application/json' },
      body: newAgent(clientId, 'openai/paced-100'),
    },
    leastRatio: 0.6,
    // Longer than the relay waits before it marks what it has published.
    prepare: () => Bun.sleep(1200).then(() => forgetWrites(stage.databaseUrl, clientId)),
  })
}

const readerHeaders = ({ tokens, people }: Stage) => ({ authorization: `Bearer ${tokens.reader}`, 'x-client-id': people.reader.clientId })

/** The just-in-time compiler takes its time. */
const WARM_UP_SECONDS = 6

async function compare(stage: Stage, { rounds, seconds }: Options, comparison: Comparison): Promise<Finding> {
  const { title, load, leastRatio, mostP99, prepare } = comparison
  const on =
    ({ url, pid }: Served): Side<Cost> =>
    async (turn) => {
      await prepare?.()
      const cpu = () => ({ own: cpuMs(pid), postgres: familyCpuMs(stage.stores.postgres), redis: familyCpuMs(stage.stores.redis) })
      const before = cpu()
      const lasting = turn === 0 ? Math.max(seconds, WARM_UP_SECONDS) : seconds
      const measured = await runWrk(url, load, { seconds: lasting, folder: stage.folder })
      const after = cpu()
      const micros = (of: keyof Cpu) => ((after[of] - before[of]) * 1000) / measured.requests
      return { ...measured, own: micros('own'), postgres: micros('postgres'), redis: micros('redis') }
    }
  const results = await alternate(rounds, { server: on(stage.api), floor: on(stage.floor) })
  await prepare?.()
  const ratioOf = (figure: 'perSecond' | 'p99Ms') => ofRounds(results.map(({ server, floor }) => server[figure] / floor[figure]))
  return {
    title,
    notes: NOTES,
    rows: (['server', 'floor'] as const).map((side) =>
      rowOf(
        side,
        results.map((result) => result[side]),
        side === 'server' ? stage.api : stage.floor,
      ),
    ),
    verdicts: [
      { what: 'requests/s, server : floor', ...ratioOf('perSecond'), goal: { atLeast: leastRatio } },
      { what: 'for the same processor time, server : floor', ...ofRounds(results.map(({ server, floor }) => floor.own / server.own)) },
      ...(mostP99 === undefined ? [] : [{ what: 'p99, server : floor', ...ratioOf('p99Ms'), goal: { atMost: mostP99 } }]),
    ],
  }
}

/** Processor time a request in microseconds, all threads: of the side itself, and of the stores that work for it. */
type Cpu = Record<'own' | 'postgres' | 'redis', number>
type Cost = Measured & Cpu

const rowOf = (side: string, rounds: Cost[], { pid }: Served) => {
  const middle = (figure: 'perSecond' | 'p50Ms' | 'p99Ms' | keyof Cpu) => round(median(rounds.map((measured) => measured[figure])))
  return {
    side,
    cells: {
      'requests/s': middle('perSecond'),
      'p50 ms': middle('p50Ms'),
      'p99 ms': middle('p99Ms'),
      'CPU µs': middle('own'),
      'PostgreSQL µs': middle('postgres'),
      'Redis µs': middle('redis'),
      RSS: megabytes(residentMb(pid)),
    },
  }
}
