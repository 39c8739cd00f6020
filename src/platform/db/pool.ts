import type { Log } from '../log'
import { type BreakReason, Connection, type ConnectionOptions, MAX_SHARERS } from './connection'
import { overloaded, unavailable } from './failures'
import { Pace } from './pace'

export interface PoolOptions extends ConnectionOptions {
  size: number
  acquireTimeoutMs: number
}

/**
 * Whether a call shares its connection with others, who must all be single reads. `welcome`: it goes out together with those of the same moment, which
 * spares both sides a wake-up per statement. `when-busy`: only when no connection is free.
 */
export type Company = 'alone' | 'when-busy' | 'welcome'

/** A call that waits for a connection. */
interface Waiter {
  since: number
  company: Company
  resolve(connection: Connection): void
  reject(error: unknown): void
}

/** Waiting calls per connection beyond which a new one is refused at once. */
const QUEUE_PER_CONNECTION = 100
const SWEEP_MS = 50
/** Reads that go out together while connections are free. */
const BATCH = 4
/** The server stops a statement at its own limit first, and says so. */
const ANSWER_MARGIN_MS = 250

/**
 * Connections, each lent to one caller or to a few who read, and the calls that wait for one, first come first served. One timer, which runs while
 * there is work, keeps all deadlines: those of the waiting calls, and those of the connections that owe an answer.
 */
export class Pool {
  private readonly connections = new Set<Connection>()
  private readonly idle: Connection[] = []
  private readonly waiting: Waiter[] = []
  private readonly pace = new Pace()
  /** Takes the quick reads of this turn of the event loop. */
  private batch: Connection | undefined
  private opening = 0
  private preferred = 0
  private lastError: unknown
  private sweeper: ReturnType<typeof setInterval> | undefined
  private sweptAt = 0
  private growTimer: ReturnType<typeof setTimeout> | undefined
  private whenDrained: (() => void) | undefined
  private closing: Promise<void> | undefined
  private readonly log: Log

  constructor(private readonly options: PoolOptions) {
    this.log = options.log
  }

  stats() {
    return { open: this.connections.size, busy: this.busy, waiting: this.waiting.length }
  }

  /** Nothing is open, and several attempts in a row have failed. */
  get isDown() {
    return this.pace.isDown && this.connections.size === 0
  }

  /**
   * A connection; give it back with `release`. Who is in company and meets a slow statement is called back (`ConnectionLost`, `stalled`).
   * @throws DomainError `overloaded` after `acquireTimeoutMs` or when too many wait, `dependency-unavailable` when there is no server.
   */
  lease(company: Company): Connection | Promise<Connection> {
    if (this.closing) throw unavailable(new Error('The pool is closed'))
    if (company === 'welcome' && this.batch && MAX_SHARERS - this.batch.room(performance.now()) < BATCH) return this.batch.lend(true)
    const connection = this.idle.pop()
    if (connection) return this.lend(connection, company)
    if (this.isDown) throw unavailable(this.lastError)
    const carrier = company !== 'alone' && this.waiting.length === 0 ? this.findCarrier() : undefined
    if (carrier) {
      this.grow(1)
      return carrier.lend(true)
    }
    if (this.waiting.length >= this.options.size * QUEUE_PER_CONNECTION) throw overloaded()
    return new Promise((resolve, reject) => {
      this.waiting.push({ since: performance.now(), company, resolve, reject })
      this.startSweeper()
      this.grow()
    })
  }

  release(connection: Connection) {
    connection.takeBack()
    if (connection.isBroken) return
    if (!this.closing && performance.now() < connection.retiresAt) return this.offer(connection)
    if (connection.isFree) connection.end()
  }

  /** To those who wait: the first, or the first few when they share it; to nobody: idle. */
  private offer(connection: Connection) {
    for (let next = this.waiting[0]; next; next = this.waiting[0]) {
      const fits = connection.isFree || (next.company !== 'alone' && connection.room(performance.now()) > 0)
      if (!fits) break
      this.waiting.shift()
      next.resolve(this.lend(connection, next.company))
    }
    if (connection.isFree) this.idle.push(connection)
  }

  /** The connection that carries the fewest reads and takes more. */
  private findCarrier(): Connection | undefined {
    const now = performance.now()
    let best: Connection | undefined
    let most = 0
    for (const connection of this.connections) {
      const room = connection.room(now)
      if (room > most) {
        most = room
        best = connection
      }
    }
    return best
  }

  private get isFull() {
    return this.connections.size >= this.options.size
  }

  get isExhausted() {
    return this.isFull && this.idle.length === 0 && !this.findCarrier()
  }

  /** Connects beside the pool and disconnects again: asks for life without queueing. */
  async tryExtra() {
    if (this.closing || this.pace.delayMs(performance.now(), true) > 0) throw unavailable(this.lastError)
    const connection = await this.connect()
    connection.end()
  }

  /** Refuses what waits, lets what runs finish within its deadlines, and disconnects. */
  close(): Promise<void> {
    this.closing ??= this.drain()
    return this.closing
  }

  private async drain() {
    clearTimeout(this.growTimer)
    for (const waiter of this.waiting.splice(0)) waiter.reject(unavailable(new Error('The pool is closed')))
    for (const connection of this.idle.splice(0)) connection.end()
    if (this.busy > 0) await new Promise<void>((resolve) => (this.whenDrained = resolve))
    clearInterval(this.sweeper)
  }

  private drained() {
    if (this.busy === 0) this.whenDrained?.()
  }

  private get busy() {
    return this.connections.size - this.idle.length
  }

  private lend(connection: Connection, company: Company): Connection {
    this.startSweeper()
    if (company === 'welcome') this.gather(connection)
    return connection.lend(company !== 'alone')
  }

  /** Until the driver writes, at the end of this turn of the event loop, more quick reads may join. */
  private gather(connection: Connection) {
    if (!this.batch)
      setImmediate(() => {
        this.batch = undefined
      })
    this.batch = connection
  }

  /** Opens as many connections as calls wait for (`atLeast`), and one when the server was lost: to see it come back. */
  private grow(atLeast = 0) {
    const room = this.options.size - this.connections.size
    const lost = this.pace.isFailing && this.connections.size === 0
    const wanted = Math.min(room, Math.max(this.waiting.length, atLeast, lost ? 1 : 0), this.pace.parallel(performance.now()))
    while (this.opening < wanted && !this.closing && this.growTimer === undefined) {
      const delayMs = this.pace.delayMs(performance.now(), this.connections.size === 0)
      if (delayMs === 0) {
        void this.open()
        continue
      }
      this.growTimer = setTimeout(() => {
        this.growTimer = undefined
        this.grow()
      }, delayMs)
      // A probe alone keeps no process alive.
      if (this.waiting.length === 0) this.growTimer.unref()
    }
  }

  private async open() {
    const startedAt = performance.now()
    this.opening++
    try {
      const connection = await this.connect()
      this.opening--
      this.opened(connection)
    } catch (error) {
      this.opening--
      this.refused(error, startedAt)
    }
    this.grow()
  }

  private opened(connection: Connection) {
    if (this.isDown) this.log.info('The database is back')
    this.pace.succeeded()
    if (this.closing) return connection.end()
    this.connections.add(connection)
    connection.onBroken = (reason) => this.dropped(connection, reason)
    this.offer(connection)
  }

  private refused(error: unknown, startedAt: number) {
    this.lastError = error
    const wasDown = this.isDown
    this.pace.failed(startedAt, performance.now())
    this.log.debug('No connection to the database', { error })
    if (!this.isDown) return
    if (!wasDown) this.log.error('The database is not available', { error })
    for (const waiter of this.waiting.splice(0)) waiter.reject(unavailable(error))
  }

  private dropped(connection: Connection, reason: BreakReason) {
    this.connections.delete(connection)
    if (reason === 'closed') this.pace.lost(performance.now())
    const index = this.idle.indexOf(connection)
    if (index >= 0) this.idle.splice(index, 1)
    this.drained()
    // What was planned without haste may be urgent now.
    clearTimeout(this.growTimer)
    this.growTimer = undefined
    this.grow()
  }

  /** Tries every address, from the last one that answered on; for `prefer-standby` a second time with less demands. */
  private async connect(): Promise<Connection> {
    const { addresses, wants } = this.options.target
    let failure: unknown
    for (const kind of wants === 'prefer-standby' ? (['standby', 'any'] as const) : [wants]) {
      for (const [offset] of addresses.entries()) {
        const index = (this.preferred + offset) % addresses.length
        const address = addresses[index]
        if (!address) continue
        this.pace.attempted(performance.now())
        try {
          const connection = await Connection.open(address, kind, this.options)
          this.preferred = index
          return connection
        } catch (error) {
          failure = error
        }
      }
    }
    throw failure
  }

  private startSweeper() {
    if (this.sweeper !== undefined) return
    this.sweptAt = performance.now()
    this.sweeper = setInterval(() => this.sweep(performance.now()), SWEEP_MS)
  }

  private sweep(now: number) {
    const late = now - this.sweptAt > 5 * SWEEP_MS
    this.sweptAt = now
    // This process was held up, not the server: its answers lie in the sockets, unread. They are read before the next sweep.
    if (late) return
    const waited = this.waiting.findIndex(({ since }) => now - since <= this.options.acquireTimeoutMs)
    for (const waiter of this.waiting.splice(0, waited < 0 ? this.waiting.length : waited))
      waiter.reject(this.connections.size === 0 ? unavailable(this.lastError) : overloaded())
    for (const connection of this.connections) connection.checkQuiet(now, this.options.statementTimeoutMs + ANSWER_MARGIN_MS)
    if (this.waiting.length > 0 || this.busy > 0) return
    clearInterval(this.sweeper)
    this.sweeper = undefined
  }
}
