import { residentMb } from '../child'
import type { Options } from '../options'
import { type Finding, megabytes, ofRounds, round } from '../report'
import { alternate, median } from '../rounds'
import { forgetWrites, newAgent } from '../seed'
import { MODEL, type Stage } from '../stage'
import { type Load, type Measured, runWrk } from '../wrk'

const NOTES = ['wrk, 32 connections; one API process, no worker; access and request log on, rate limit in force but out of reach']

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
      body: newAgent(clientId, 'agent', MODEL),
    },
    leastRatio: 0.6,
    // Longer than the relay waits before it marks what it has published.
    prepare: () => Bun.sleep(1200).then(() => forgetWrites(stage.databaseUrl, clientId)),
  })
}

const readerHeaders = ({ tokens, people }: Stage) => ({ authorization: `Bearer ${tokens.reader}`, 'x-client-id': people.reader.clientId })

async function compare(stage: Stage, { rounds, seconds }: Options, comparison: Comparison): Promise<Finding> {
  const { title, load, leastRatio, mostP99, prepare } = comparison
  const on = (url: string) => async () => {
    await prepare?.()
    return runWrk(url, load, { seconds, folder: stage.folder })
  }
  const results = await alternate(rounds, { server: on(stage.api.url), floor: on(stage.floor.url) })
  await prepare?.()
  const verdicts: Finding['verdicts'] = [
    {
      what: 'requests/s, server : floor',
      ...ofRounds(results.map(({ server, floor }) => server.perSecond / floor.perSecond)),
      goal: { atLeast: leastRatio },
    },
  ]
  if (mostP99 !== undefined)
    verdicts.push({
      what: 'p99, server : floor',
      ...ofRounds(results.map(({ server, floor }) => server.p99Ms / floor.p99Ms)),
      goal: { atMost: mostP99 },
    })
  return {
    title,
    notes: NOTES,
    rows: [
      rowOf(
        'server',
        results.map(({ server }) => server),
        stage.api.pid,
      ),
      rowOf(
        'floor',
        results.map(({ floor }) => floor),
        stage.floor.pid,
      ),
    ],
    verdicts,
  }
}

const rowOf = (side: string, measured: Measured[], pid: number) => ({
  side,
  cells: {
    'requests/s': round(median(measured.map(({ perSecond }) => perSecond))),
    'p50 ms': round(median(measured.map(({ p50Ms }) => p50Ms))),
    'p99 ms': round(median(measured.map(({ p99Ms }) => p99Ms))),
    RSS: megabytes(residentMb(pid)),
  },
})
