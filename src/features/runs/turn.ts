import type { KeepAgentFile } from '~/features/files/agent-files'
import type { FileKeeper } from '~/features/files/keeper'
import type { Clock } from '~/platform/clock'
import type { Db } from '~/platform/db'
import type { Log } from '~/platform/log'
import { patiently } from '~/platform/patience'
import type { Hold, Room } from '~/platform/room'
import { isAside, textOf, userEvent } from '~/runtime/conversation'
import type { Prices } from '~/runtime/model/prices'
import type { FilePart } from '~/runtime/model/types'
import type { Agent, RunLimits } from '~/runtime/types'
import { createBudgetGuard, type Spender } from './budget-guard'
import { createContext } from './context'
import { eventIdOf } from './event-id'
import { openJournal } from './journal'
import type { LogEvent } from './log-event'
import type { Persist } from './persist'
import { insertUserEvent, listStoredEvents } from './queries/events'
import { type Outlook, readOutlook } from './queries/outlook'
import type { OwnedRun } from './queries/owned'
import { sumTokens } from './queries/steps'
import type { RunLog } from './run-log'
import { readShownText } from './shown-text'
import { createSpending } from './spending'
import type { Approvals, ApprovalsOf } from './waiting'

export interface TurnDeps {
  db: Db
  clock: Clock
  log: Log
  /** The agent as it can be run. @throws DomainError when it is gone. */
  loadAgent(clientId: string, agentId: string): Promise<Agent>
  /** Runs and events refer to files; an agent reads them. */
  files: FileKeeper
  keepFile: KeepAgentFile
  /** For the files that a turn is shown, as long as it takes. */
  room: Room
  approvalsOf: ApprovalsOf
  prices: Prices
  limits: RunLimits
  /** Of one run, in and out. */
  maxTokens: number
  defaultOutputTokens: number
  maxHistory: number
}

/** Of earlier turns, newest first, that the model is shown again. */
const MAX_HISTORY_FILE_BYTES = 20_971_520

interface Turn {
  runLog: RunLog
  /** The run's log so far. */
  entries: LogEvent[]
  persist: Persist
  signal: AbortSignal
  handOver: AbortSignal
  early?: Early | undefined
}

/** What a turn begins with if it is accepted. Its agent need not be heard. */
export interface Ahead extends Outlook {
  agent: Promise<Agent>
}

/** A new run that is executed beside the transaction that accepts it, on what was found before. */
export interface Early extends Ahead {
  /** Nothing is written, shown or changed in the world before. Rejects when the run is none. */
  committed: Promise<void>
}

export async function lookAhead({ db, loadAgent, maxHistory }: TurnDeps, run: Spender, mostActive: number): Promise<Ahead> {
  const agent = loadAgent(run.clientId, run.agentId)
  agent.catch(() => undefined)
  return { ...(await readOutlook(db, run, { mostEvents: maxHistory, mostActive })), agent }
}

/** All that a turn begins with, read side by side. */
async function prepareTurn(deps: TurnDeps, run: OwnedRun, early: Early | undefined, hold: (bytes: number) => Promise<void>) {
  const { db, files } = deps
  const { id, clientId } = run
  const isNew = run.past === 'none'
  const ahead = Promise.resolve(early ?? lookAhead(deps, run, 0))
  const shown = async () => {
    const { history } = await ahead
    return files.open(clientId, { files: run.input.files, history }, { maxHistoryBytes: MAX_HISTORY_FILE_BYTES, hold })
  }
  const [agent, { history, files: opened }, stored, usedTokens, { isFree }] = await Promise.all([
    ahead.then((found) => found.agent),
    shown(),
    isNew ? { ids: new Set<string>(), last: 0 } : listStoredEvents(db, id),
    isNew ? 0 : sumTokens(db, id),
    ahead,
    isNew ? undefined : insertUserEvent(db, { id, ...userEvent(run.input) }),
  ])
  return { agent, history, opened, stored, usedTokens, isFree }
}

/** The agent's turn itself. Returns the text of its last word. */
export async function takeTurn(deps: TurnDeps, run: OwnedRun, turn: Turn): Promise<string> {
  let held: Hold | undefined
  const hold = async (bytes: number) => {
    held?.release()
    held = await deps.room.take(run.clientId, bytes, { signal: turn.signal })
  }
  try {
    return await speak(deps, run, turn, hold)
  } finally {
    held?.release()
  }
}

async function speak(
  deps: TurnDeps,
  run: OwnedRun,
  { runLog, entries, persist, signal, handOver, early }: Turn,
  hold: (bytes: number) => Promise<void>,
): Promise<string> {
  const { db, clock, log } = deps
  const { id, sessionId } = run
  let given = early
  const prepare = () => {
    const groundwork = prepareTurn(deps, run, given, hold)
    // What failed is tried anew.
    given = undefined
    return groundwork
  }
  const onFirst = (error: unknown) => log.warn('the database is away, a run waits', { run_id: id, error })
  const { agent, history, opened, stored, usedTokens, isFree } = await patiently(prepare, { clock, signal, onFirst })
  const { prices, maxTokens, defaultOutputTokens, limits } = deps
  const committed = early?.committed
  const guard = createBudgetGuard({ db, clock, log, isFree, committed })
  const spending = createSpending({ run, guard, prices, usedTokens, maxTokens, defaultOutputTokens })
  const keepFile = async (file: FilePart) => {
    await committed
    return deps.keepFile(run, file)
  }
  const open = () => openJournal({ db, run, runLog, shown: readShownText(entries), persist, spending, keepFile, handOver })
  const journal = await patiently(open, { clock, signal, onFirst })
  const asked = deps.approvalsOf(run)
  const approvals: Approvals = { ask: (...question) => patiently(() => asked.ask(...question), { clock, signal, onFirst }) }
  const context = createContext(
    { runId: id, sessionId, traceId: run.traceId, startedAt: run.createdAt, limits, journal, approvals, clock },
    { input: { ...run.input, files: opened }, history, signal },
  )
  let ordinal = stored.last
  let response = ''
  for await (const { key, ...event } of agent(context)) {
    const text = textOf(event)
    if (text !== '' && !isAside(event)) response = text
    const eventId = eventIdOf(id, key)
    // Stored, and thereby shown, by an earlier execution.
    if (stored.ids.has(eventId)) continue
    ordinal += 1
    await runLog.event(eventId, ordinal, event, { id: eventId, run_id: id, timestamp: clock.now() / 1000, event })
  }
  return response === '' ? 'Finished without specific response' : response
}
