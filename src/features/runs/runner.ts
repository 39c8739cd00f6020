import type { Redis } from 'ioredis'
import { inTenantScope, sqlState } from '~/platform/db'
import type { Log } from '~/platform/log'
import { type RedisStore, RedisUnavailable } from '~/platform/redis'
import { HandedOver } from '~/runtime/pause'
import type { Spender } from './budget-guard'
import { type ExecutorDeps, executeRun, RunCancelled } from './executor'
import { RunTakenOver } from './live-log'
import { createPersist } from './persist'
import { forfeitReservations } from './queries/budgets'
import { findLastSeq } from './queries/events'
import type { OwnedRun } from './queries/owned'
import { claimRun, listUnattended, releaseLease, renewLeases, takeIdle } from './queries/runs'
import { openRunLog } from './run-log'
import { type Ahead, type Early, lookAhead } from './turn'

/** What this process does with runs: executes its own, keeps their leases, and looks after those that nobody looks after any more. */
export interface Runner {
  readonly owner: string
  /** How a run's session stands, and how many runs its client has: no more than `mostActive` are counted. */
  lookAhead(run: Spender, mostActive: number): Promise<Ahead>
  /** Executes a run that is about to be accepted, short of writing, showing or changing anything. Its caller says what came of it. */
  begin(run: OwnedRun, ahead: Ahead): BegunRun
  /** Executes a run that was just inserted for this owner: at once if it is `running`, else when its turn comes. */
  accept(run: OwnedRun, status: 'running' | 'queued'): void
  /** A run was inserted for whoever has time: tells the others. */
  offer(): void
  /** A cancel was written to PostgreSQL: ends the run here, or tells the process that has it. */
  cancel(runId: string): Promise<void>
  /** Stops taking runs, gives the ones in hand `graceMs` to end, and leaves the rest to others. */
  stop(graceMs: number): Promise<void>
}

export interface BegunRun {
  committed(): void
  /** There is no such run, or nobody knows: settles when nothing of it goes on here. */
  abandon(): Promise<void>
}

export interface RunnerOptions {
  executor: ExecutorDeps
  redis: RedisStore
  owner: string
  leaseSeconds: number
  /** How often it looks for unattended runs. */
  recoverEveryMs: number
  /** Also looks for them when it hears of one: for processes that have nothing else to do. */
  isEager: boolean
  maxRecovered: number
}

const TICK_MS = 1000
/** Unattended runs that are looked at together. */
const MAX_TAKEN = 20
/** A request waits for it. */
const END_IDLE_MS = 2000

export function createRunner({ executor, redis, owner, leaseSeconds, recoverEveryMs, isEager, maxRecovered }: RunnerOptions): Runner {
  const { db, log, live, saveLog } = executor
  const running = new Map<string, { abort: AbortController; done: Promise<void>; leaseToken: number }>()
  /** Ours, waiting for the session's earlier turns: by id, in the order in which they came, with their sessions. */
  const queued = new Map<string, string>()
  const ending = new Map<string, Promise<void>>()
  const handOver = new AbortController()
  let stopping = false
  let renewedAt = performance.now()

  const execute = (run: OwnedRun, early?: Early) => {
    const abort = new AbortController()
    const orders = { signal: abort.signal, handOver: handOver.signal, early }
    return { run, abort, done: inTenantScope(run.clientId, () => executeRun(executor, run, orders)) }
  }

  /** From now on it is renewed, cancelled and waited for. */
  const hold = ({ run, abort, done }: ReturnType<typeof execute>) => {
    const over = done.finally(() => {
      running.delete(run.id)
      // It was told to end while it was being put aside, which could not be stopped any more.
      if (abort.signal.reason instanceof RunCancelled)
        endIdle(run.id).catch((error) => log.warn('a cancelled run waits still', { run_id: run.id, error }))
      void announce(redis, { session: run.sessionId }, log)
      claimNext(run.sessionId)
    })
    running.set(run.id, { abort, done: over, leaseToken: run.leaseToken })
  }

  const claim = async (id: string): Promise<boolean> => {
    if (stopping || running.has(id)) return false
    const claimed = await claimRun(db, { id, owner, leaseSeconds }).catch(unlessBusy)
    if (claimed === undefined) return false
    queued.delete(id)
    const execution = execute(claimed.run)
    if (claimed.isCancelled) execution.abort.abort(new RunCancelled())
    hold(execution)
    return true
  }

  const claimQueued = async () => {
    for (const id of queued.keys()) await claim(id)
  }

  /** The session's next turn, if it is one of ours: the others' sessions are as busy as they were. */
  const claimNext = (sessionId: string) => {
    const claimFirst = async () => {
      for (const [id, session] of queued) if (session === sessionId && (await claim(id))) return
    }
    claimFirst().catch((error) => log.warn('queued runs wait for the next tick', { error }))
  }

  /** Leases are renewed three times in their life; a run that is not ours any more is dropped. */
  const renew = async () => {
    const ids = [...running.keys(), ...queued.keys()]
    if (ids.length === 0) return
    const held = new Map((await renewLeases(db, { ids, owner, leaseSeconds })).map((row) => [row.id, row]))
    for (const [id, { abort, leaseToken }] of running) {
      const row = held.get(id)
      if (row === undefined ? ids.includes(id) : row.leaseToken !== leaseToken) abort.abort(new RunTakenOver(id))
      else if (row?.cancelRequestedAt) abort.abort(new RunCancelled())
    }
    for (const id of queued.keys()) {
      const row = held.get(id)
      if (row === undefined && ids.includes(id)) queued.delete(id)
      else if (row?.cancelRequestedAt) await endIdle(id)
    }
  }

  const recover = async () => {
    for (;;) {
      const free = Math.min(MAX_TAKEN, maxRecovered - running.size)
      if (stopping || free <= 0) return
      const found = await listUnattended(db, free)
      for (const id of found) if (await claim(id)) log.info('run recovered', { run_id: id })
      if (found.length < MAX_TAKEN) return
    }
  }

  /** A cancel and the round that renews leases may both find the same run: it is ended once. */
  const endIdle = (id: string): Promise<void> => {
    const before = ending.get(id)
    if (before !== undefined) return before
    const now = endUnexecuted(id).finally(() => ending.delete(id))
    ending.set(id, now)
    return now
  }

  /** A run that nobody executes ends by its log alone. */
  const endUnexecuted = async (id: string) => {
    const run = await takeIdle(db, { id, owner })
    if (run === undefined) return
    queued.delete(id)
    const [lastSeq] = await Promise.all([findLastSeq(db, id), forfeitReservations(db, run)])
    const persist = createPersist({ run, log, signal: AbortSignal.timeout(END_IDLE_MS) })
    const failed = (error: unknown) => log.warn('run could not be ended', { run_id: id, error })
    const runLog = openRunLog({ db, saveLog, live, run, lastSeq, log, persist, failed })
    try {
      await runLog.end('run-cancelled', { run_id: id }, { status: 'cancelled' })
    } catch (error) {
      // Another process has heard of the cancel as well.
      if (!(error instanceof RunTakenOver)) throw error
    } finally {
      runLog.close()
    }
  }

  /** Too late for us: whoever looks for abandoned runs takes it at once. */
  const leave = (run: OwnedRun) => {
    releaseLease(db, run, { isWhole: true }).catch((error) => log.warn('run waits for its lease to run out', { run_id: run.id, error }))
  }

  const heard = (message: Control) => {
    if (message.cancel !== undefined) running.get(message.cancel)?.abort.abort(new RunCancelled())
    if (message.work && isEager) recover().catch((error) => log.warn('unattended runs wait for the next look', { error }))
    if (message.session !== undefined) claimNext(message.session)
  }

  const subscriber = listen(redis, heard, log)
  const timers = [
    every(TICK_MS, log, async () => {
      await claimQueued()
      if (performance.now() - renewedAt < (leaseSeconds * 1000) / 3) return
      await renew()
      renewedAt = performance.now()
    }),
    every(recoverEveryMs, log, recover),
  ]

  return {
    owner,
    lookAhead: (run, mostActive) => inTenantScope(run.clientId, () => lookAhead(executor, run, mostActive)),
    begin(run, ahead) {
      const commit = Promise.withResolvers<void>()
      const execution = execute(run, { ...ahead, committed: commit.promise })
      return {
        committed() {
          hold(execution)
          if (stopping) execution.abort.abort(new HandedOver('this process stops'))
          commit.resolve()
        },
        abandon() {
          commit.reject(new Error('the run was not committed'))
          return execution.done
        },
      }
    },
    accept(run, status) {
      if (stopping) leave(run)
      else if (status === 'running') hold(execute(run))
      else queued.set(run.id, run.sessionId)
    },
    offer() {
      void announce(redis, { work: true }, log)
    },
    async cancel(runId) {
      const here = running.get(runId)
      if (here !== undefined) here.abort.abort(new RunCancelled())
      else {
        await endIdle(runId)
        await announce(redis, { cancel: runId }, log)
      }
    },
    async stop(graceMs) {
      stopping = true
      // Those that are nearly done may end here; the others go elsewhere when the step in hand is done.
      const handOverTimer = setTimeout(() => handOver.abort(), graceMs / 3)
      const all = () => Promise.allSettled([...running.values()].map(({ done }) => done))
      await Promise.race([all(), executor.clock.sleep(graceMs)])
      clearTimeout(handOverTimer)
      handOver.abort()
      for (const timer of timers) clearInterval(timer)
      for (const { abort } of running.values()) abort.abort(new HandedOver('this process stops'))
      await Promise.race([all(), executor.clock.sleep(2000)])
      subscriber.disconnect()
    },
  }
}

/** One round at a time, however long the database takes; of failures in a row the first is told. */
function every(ms: number, log: Log, work: () => Promise<void>) {
  let busy = false
  let isFailing = false
  return setInterval(async () => {
    if (busy) return
    busy = true
    try {
      await work()
      isFailing = false
    } catch (error) {
      if (!isFailing) log.warn('run upkeep failed, trying again', { error })
      isFailing = true
    }
    busy = false
  }, ms)
}

const CHANNEL = 'run-control'

/** A run to be ended; a session that has become idle; work for whoever has time. */
type Control = { cancel?: string; session?: string; work?: true }

/** Best effort: who misses it finds out at the next renewal or tick. */
async function announce(redis: RedisStore, message: Control, log: Log) {
  try {
    await redis.run((client) => client.publish(redis.key(CHANNEL), JSON.stringify(message)))
  } catch (error) {
    if (!(error instanceof RedisUnavailable)) log.warn('run control could not be announced', { error })
  }
}

function listen(redis: RedisStore, heard: (message: Control) => void, log: Log): Redis {
  const subscriber = redis.dedicated('run-control')
  subscriber.on('message', (_channel: string, text: string) => {
    try {
      heard(JSON.parse(text))
    } catch (error) {
      log.warn('unreadable run control message', { error })
    }
  })
  subscriber.subscribe(redis.key(CHANNEL)).catch((error) => log.debug('subscribe failed', { error }))
  return subscriber
}

/** Two processes may reach for the same session at once: the index lets one of them have it. */
function unlessBusy(error: unknown): undefined {
  if (sqlState(error)?.code === '23505') return undefined
  throw error
}
