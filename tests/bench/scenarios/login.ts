import { availableParallelism } from 'node:os'
import { residentMb } from '../child'
import type { Options } from '../options'
import { type Finding, megabytes, ofRounds, round } from '../report'
import { alternate, median, quantile } from '../rounds'
import { PASSWORD } from '../seed'
import type { Stage } from '../stage'

/** Keeps every core busy; the server refuses a queue of more than two seconds. */
const CONCURRENT = 2 * availableParallelism()

/** Not by wrk: of the few that fit into a round it would leave out those in hand at its end. */
export async function login(stage: Stage, { rounds, seconds }: Options): Promise<Finding> {
  const body = JSON.stringify({ email: stage.people.comer.email, password: PASSWORD })
  const on = (url: string) => () => keepBusy(seconds, CONCURRENT, () => post(`${url}/api/v1/auth/login`, body))
  const results = await alternate(rounds, { server: on(stage.api.url), floor: on(stage.floor.url) })
  const rowOf = (side: 'server' | 'floor', pid: number) => ({
    side,
    cells: {
      'requests/s': round(median(results.map((result) => result[side].perSecond))),
      'p50 ms': round(
        quantile(
          results.flatMap((result) => result[side].tookMs),
          0.5,
        ),
      ),
      'p99 ms': round(
        quantile(
          results.flatMap((result) => result[side].tookMs),
          0.99,
        ),
      ),
      RSS: megabytes(residentMb(pid)),
    },
  })
  return {
    title: 'POST /api/v1/auth/login (bcrypt, cost 12)',
    notes: [`${CONCURRENT} at a time; the floor is Bun.password.verify behind Bun.serve, without account, session and audit entry`],
    rows: [rowOf('server', stage.api.pid), rowOf('floor', stage.floor.pid)],
    verdicts: [
      {
        what: 'sign-ins/s, server : bare verify',
        ...ofRounds(results.map(({ server, floor }) => server.perSecond / floor.perSecond)),
        goal: { atLeast: 0.85 },
      },
    ],
  }
}

/** Begins no new one after `seconds`; the clock runs until the last one is answered. */
export async function keepBusy(
  seconds: number,
  workers: number,
  work: (worker: number) => Promise<void>,
): Promise<{ perSecond: number; tookMs: number[] }> {
  const startedAt = performance.now()
  const tookMs: number[] = []
  const busy = async (worker: number) => {
    while (performance.now() - startedAt < seconds * 1000) {
      const at = performance.now()
      await work(worker)
      tookMs.push(performance.now() - at)
    }
  }
  await Promise.all(Array.from({ length: workers }, (_, worker) => busy(worker)))
  return { perSecond: tookMs.length / ((performance.now() - startedAt) / 1000), tookMs }
}

async function post(url: string, body: string) {
  const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  await answer.text()
  if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}`)
}
