import { cpuMs } from '../child'
import type { Options } from '../options'
import { type Finding, ofRounds, round } from '../report'
import { alternate, median, quantile } from '../rounds'
import { CROWD, PASSWORD } from '../seed'
import type { Stage } from '../stage'
import { keepBusy } from './login'

/** More often than a balancer asks; rarely enough to be no load. */
const PROBE_EVERY_MS = 10
/** Who is refused comes back: far sooner than told to. */
const AGAIN_MS = 100

interface Flooded {
  perSecond: number
  idleMs: number[]
  floodMs: number[]
  refused: number
  /** Processor time for each second. */
  cpuMs: number
}

/** Does a flood of sign-ins starve what else the process has to answer, and does it cost sign-ins? */
export async function loginFlood({ api, floor, people }: Stage, { rounds, seconds }: Options): Promise<Finding> {
  const on =
    ({ url, pid }: { url: string; pid: number }, probed: string) =>
    async (): Promise<Flooded> => {
      const idleMs = await probe(`${url}${probed}`, Bun.sleep(seconds * 1000))
      let signedIn = 0
      let refused = 0
      const before = { cpu: cpuMs(pid), at: performance.now() }
      const flood = keepBusy(seconds, CROWD, async (visitor) => {
        if (await signIn(url, people.crowd[visitor] ?? '')) signedIn++
        else {
          refused++
          await Bun.sleep(AGAIN_MS)
        }
      })
      const floodMs = await probe(`${url}${probed}`, flood)
      const lasted = (performance.now() - before.at) / 1000
      return { perSecond: signedIn / lasted, idleMs, floodMs, refused: refused / lasted, cpuMs: (cpuMs(pid) - before.cpu) / lasted }
    }
  const results = await alternate(rounds, { server: on(api, '/livez'), floor: on(floor, '/ready') })
  const slower = ({ idleMs, floodMs }: Flooded) => quantile(floodMs, 0.99) / quantile(idleMs, 0.99)
  const rowOf = (side: 'server' | 'floor') => {
    const all = results.map((result) => result[side])
    const middle = (figure: (flooded: Flooded) => number) => round(median(all.map(figure)))
    return {
      side,
      cells: {
        'sign-ins/s': middle(({ perSecond }) => perSecond),
        'refused/s': middle(({ refused }) => refused),
        'idle p99 ms': middle(({ idleMs }) => quantile(idleMs, 0.99)),
        'flood p50 ms': middle(({ floodMs }) => quantile(floodMs, 0.5)),
        'flood p99 ms': middle(({ floodMs }) => quantile(floodMs, 0.99)),
        'CPU ms/s': middle((flooded) => flooded.cpuMs),
      },
    }
  }
  return {
    title: `Login flood: POST /api/v1/auth/login on ${CROWD} connections, an account each; meanwhile GET /livez`,
    notes: [
      `a visitor who is refused (503, the queue is full) comes back after ${AGAIN_MS} ms; /livez is asked every ${PROBE_EVERY_MS} ms, before and meanwhile`,
      'the floor is Bun.password.verify behind Bun.serve, which queues without bound',
    ],
    rows: [rowOf('server'), rowOf('floor')],
    verdicts: [
      { what: 'GET /livez p99, flood : idle', ...ofRounds(results.map(({ server }) => slower(server))), goal: { atMost: 20 } },
      {
        what: 'sign-ins/s, server : bare verify',
        ...ofRounds(results.map(({ server, floor }) => server.perSecond / floor.perSecond)),
        goal: { atLeast: 0.85 },
      },
    ],
  }
}

/** Milliseconds of each answer while `until` lasts. */
async function probe(url: string, until: Promise<unknown>): Promise<number[]> {
  const tookMs: number[] = []
  let over = false
  const ended = until.finally(() => {
    over = true
  })
  while (!over) {
    const at = performance.now()
    const answer = await fetch(url)
    await answer.text()
    if (!answer.ok) throw new Error(`${url} answered ${answer.status}`)
    tookMs.push(performance.now() - at)
    await Bun.sleep(PROBE_EVERY_MS)
  }
  await ended
  return tookMs
}

/** False when there are too many at once. */
async function signIn(url: string, email: string): Promise<boolean> {
  const body = JSON.stringify({ email, password: PASSWORD })
  const answer = await fetch(`${url}/api/v1/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  const text = await answer.text()
  if (answer.status === 200) return true
  if (answer.status === 503) return false
  throw new Error(`${url} answered ${answer.status}: ${text}`)
}
