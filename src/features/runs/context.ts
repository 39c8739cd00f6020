import type { Clock } from '~/platform/clock'
import { RunPaused } from '~/runtime/pause'
import type { RunContext, RunPart, SaidEvent } from '~/runtime/types'
import type { Journal } from './journal'
import type { Approvals } from './waiting'

type Part = Pick<RunContext, 'input' | 'history' | 'turn' | 'signal' | 'branch' | 'enabledTools' | 'mayEscalate'> & {
  /** Begins the keys of all its steps and events. */
  path: string
  /** Nobody watches. */
  silent: boolean
}

type Whole = Pick<RunContext, 'runId' | 'sessionId' | 'traceId' | 'startedAt' | 'limits'> & {
  journal: Journal
  approvals: Approvals
  clock: Clock
}

/** A pause that is shorter than this is waited for where the run is. */
const HOLD_MS = 2000

/** What the agent of a run is given: every step and event of it, however deep, has a key of its own that is the same at every execution. */
export const createContext = (whole: Whole, root: Pick<Part, 'input' | 'history' | 'signal'>): RunContext =>
  partOf(whole, { ...root, turn: [], branch: undefined, enabledTools: undefined, mayEscalate: false, path: '', silent: false })

function partOf(whole: Whole, part: Part): RunContext {
  const { journal, approvals, clock, ...run } = whole
  const { path, silent, ...given } = part
  const { signal } = given
  let events = 0
  const step: RunContext['step'] = (spec, work) => journal({ ...spec, key: path + spec.key }, { signal, silent }, work)
  return {
    ...run,
    ...given,
    nested: (segment, change = {}) => partOf(whole, { ...part, ...changed(part, change), path: `${path}${segment}/` }),
    event(event) {
      const said: SaidEvent = { ...event, ...(part.branch === undefined ? {} : { branch: part.branch }), key: `${path}#${events++}` }
      part.turn.push(said)
      return said
    },
    step,
    async sleep(key, ms) {
      const { until } = await step({ key, kind: 'delay', effect: 'read-only', input: { ms } }, async () => ({ until: clock.now() + ms }))
      const restMs = until - clock.now()
      if (restMs > HOLD_MS) throw new RunPaused('delay', new Date(until))
      if (restMs > 0) await clock.sleep(restMs, signal)
    },
    approval: (key, wanted) => approvals.ask(path + key, wanted),
  }
}

function changed(part: Part, { alone, isolated, ...change }: RunPart): Partial<Part> {
  if (alone !== undefined) {
    const fresh = { input: alone, history: [], turn: [], enabledTools: undefined, mayEscalate: false, silent: true }
    return change.signal === undefined ? fresh : { ...fresh, signal: change.signal }
  }
  return isolated ? { ...change, turn: [...part.turn] } : change
}
