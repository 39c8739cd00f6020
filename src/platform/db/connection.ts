import type { Socket } from 'node:net'
import postgres from 'postgres'
import type { Log } from '../log'
import { requestCancel } from './cancel'
import { dial } from './dial'
import { ConnectionLost, isAnswer, isRefusal } from './failures'
import type { Address, SessionKind, Target } from './target'
import { driverTypes } from './values'

/** `rows`: an object a row. `arrays`: its values in the order of the columns. Both carry `columns`, `count` and `command`. */
export type Shape = 'rows' | 'arrays'
export type Result = postgres.RowList<postgres.Row[]>

export type BreakReason = ConnectionLost['reason'] | 'retired'

export interface ConnectionOptions {
  target: Target
  applicationName: string
  connectTimeoutMs: number
  statementTimeoutMs: number
  /** False behind a pooler in transaction mode, where the next statement meets another session: no named statements, no settings of the session. */
  prepare: boolean
  log: Log
}

const TERMINATE = Buffer.from([0x58, 0, 0, 0, 4])
const GOODBYE_MS = 500
const LIFETIME_MS = 30 * 60_000
/** Reads that may be on their way at the same time. */
export const MAX_SHARERS = 8
const BRISK_MS = 50
const STALLED_MS = 200

/**
 * One connection, for its whole life: a postgres.js client that may connect once. When its socket closes, its server falls silent or the driver
 * itself fails, it is broken for good and everything in flight is rejected at once; nothing here waits for the driver to recover.
 */
export class Connection {
  /** Set by the pool. Called once, also when nothing is in flight. */
  onBroken: (reason: BreakReason) => void = () => undefined
  /** When the pool replaces it, so that no session and no route to an old server lives for ever. */
  retiresAt = performance.now() + LIFETIME_MS * (0.75 + Math.random() / 4)
  private users = 0
  private shared = false
  private broken: ConnectionLost | undefined
  private readonly inFlight = new Set<(error: ConnectionLost) => void>()
  /** Since when we wait for the server, or it for us. */
  private quietSince = performance.now()
  private answeredAt = 0
  private readonly client: postgres.Sql
  private session = { pid: 0, secret: 0 }

  private constructor(
    private readonly socket: Socket,
    private readonly address: Address,
    private readonly options: ConnectionOptions,
  ) {
    this.client = postgres(driverOptions(socket, options))
    socket.once('close', () => this.break('closed'))
    if (socket.destroyed) this.break('closed')
  }

  /** Connects and prepares the session, within `connectTimeoutMs`. Fails when the server is not of the kind asked for. */
  static async open(address: Address, kind: SessionKind, options: ConnectionOptions): Promise<Connection> {
    const deadline = AbortSignal.timeout(options.connectTimeoutMs)
    const connection = new Connection(await dial(address, deadline), address, options)
    const giveUp = () => connection.break('deadline')
    deadline.addEventListener('abort', giveUp)
    if (deadline.aborted) giveUp()
    try {
      await connection.greet(kind)
      return connection
    } catch (error) {
      connection.break('closed', error)
      throw error
    } finally {
      deadline.removeEventListener('abort', giveUp)
    }
  }

  get isBroken() {
    return this.broken !== undefined
  }

  /**
   * Sends at once, behind what is in flight. A text that was `named` before costs one round trip, with parameters and no name it costs two.
   * Without parameters it may hold several statements.
   * @throws ConnectionLost, or the server's PostgresError
   */
  run(text: string, parameters: unknown[], shape: Shape, named: boolean): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.broken) return reject(new ConnectionLost(this.broken.reason, false, { cause: this.broken }))
      if (this.inFlight.size === 0) this.quietSince = performance.now()
      this.inFlight.add(reject)
      // `encodeParameters` made them; the driver's own type knows fewer.
      const query = this.client.unsafe(text, parameters as never[], { prepare: named })
      const settled = () => {
        this.inFlight.delete(reject)
        this.quietSince = this.answeredAt = performance.now()
      }
      const answer: PromiseLike<unknown> = shape === 'arrays' ? query.values() : query
      answer.then(
        (result) => {
          settled()
          resolve(result as Result)
        },
        (error: unknown) => {
          settled()
          if (isRefusal(error)) return reject(error)
          const lost = this.break('closed', error)
          reject(isAnswer(error) ? new ConnectionLost('closed', false, { cause: error }) : lost)
        },
      )
    })
  }

  get isFree() {
    return this.users === 0
  }

  /**
   * How many more reads may go behind those that it carries: few, and only while answers keep coming. None when it carries none, nor behind a pooler: at the
   * end of one statement PgBouncer gives the session away, and with it the answer to what it has passed on of the next (a statement with parameters and no
   * name is sent in two parts, the first without a Sync).
   */
  room(now: number): number {
    const isBrisk = now - this.answeredAt < BRISK_MS && now < this.retiresAt && !this.broken
    return this.options.prepare && this.shared && this.users > 0 && isBrisk ? MAX_SHARERS - this.users : 0
  }

  /** To one caller alone, or `shared` between several who each read one thing. From now on it is their turn to say something. */
  lend(shared: boolean): this {
    if (this.users++ === 0) this.quietSince = performance.now()
    this.shared = shared
    return this
  }

  takeBack() {
    this.users--
  }

  /**
   * Breaks it when the server owes an answer for longer than `maxMs`, or the one who leased it the next statement. Long before that, reads that others
   * sent behind a slow one are called back; what is left of them ends with the connection, which takes no new ones.
   */
  checkQuiet(now: number, maxMs: number) {
    const quietMs = now - this.quietSince
    if (this.isFree || quietMs <= STALLED_MS) return
    if (this.shared && this.inFlight.size > 1) {
      const [, ...behind] = this.inFlight
      for (const reject of behind) reject(new ConnectionLost('stalled', true))
      this.retiresAt = 0
    }
    if (quietMs > maxMs) this.break('deadline', undefined, this.inFlight.size > 0 && !this.options.prepare)
  }

  /** Says goodbye to the server. What is in flight is lost. */
  end() {
    this.broken ??= new ConnectionLost('closed', false)
    this.socket.end(TERMINATE)
    setTimeout(() => this.socket.destroy(), GOODBYE_MS).unref()
    this.drop(this.broken, 'retired')
  }

  private break(reason: ConnectionLost['reason'], cause?: unknown, cancelFirst = false): ConnectionLost {
    if (this.broken) return this.broken
    this.broken = new ConnectionLost(reason, true, { cause })
    if (cancelFirst) void this.cancel().finally(() => this.socket.destroy())
    else this.socket.destroy()
    this.drop(this.broken, reason)
    return this.broken
  }

  private drop(error: ConnectionLost, reason: BreakReason) {
    for (const reject of this.inFlight) reject(error)
    this.inFlight.clear()
    this.onBroken(reason)
  }

  private async greet(kind: SessionKind) {
    const { prepare, statementTimeoutMs } = this.options
    // Statements and not startup parameters, which poolers refuse. The second limit frees the locks of a process that went away in silence.
    const limits = `set statement_timeout = ${statementTimeoutMs}; set idle_in_transaction_session_timeout = ${2 * statementTimeoutMs}`
    const answer = await this.run(prepare ? limits : 'select 1', [], 'rows', false)
    // Several statements have several results, which the driver's types do not know.
    this.session = ((answer.state ? answer : answer[0]) as Result).state
    if (kind === 'any') return
    const question = `select pg_is_in_recovery() as standby, current_setting('transaction_read_only') = 'on' as readonly`
    const [server] = await this.run(question, [], 'rows', false)
    if (!FITS[kind](server?.standby === true, server?.readonly === true)) throw new Error(`The server is not ${kind}`)
  }

  /** Behind a pooler in transaction mode the server does not know our deadline, so it is told to stop. */
  private cancel() {
    return requestCancel(this.address, this.session, this.options.connectTimeoutMs).catch((error: unknown) =>
      this.options.log.debug('A statement could not be cancelled', { error }),
    )
  }
}

const FITS: Record<SessionKind, (standby: boolean, readonly: boolean) => boolean> = {
  any: () => true,
  'prefer-standby': () => true,
  primary: (standby) => !standby,
  standby: (standby) => standby,
  'read-write': (_, readonly) => !readonly,
  'read-only': (_, readonly) => readonly,
}

/** All that the driver would do by itself, now or after a fault, is off: lifetime, reconnection, questions of its own. */
function driverOptions(socket: Socket, { target, applicationName, prepare, log }: ConnectionOptions) {
  let connected = false
  return {
    host: 'already-connected',
    port: 5432,
    ...(target.user === undefined ? {} : { user: target.user }),
    ...(target.database === undefined ? {} : { database: target.database }),
    password: target.password,
    /** Called again when the driver wants to reconnect after a fault. */
    socket() {
      if (connected) throw new Error('A connection is not made twice')
      connected = true
      return socket
    },
    ssl: false,
    max: 1,
    prepare,
    fetch_types: false,
    types: driverTypes,
    connection: { application_name: applicationName, TimeZone: 'UTC', DateStyle: 'ISO', ...target.parameters },
    connect_timeout: 0,
    idle_timeout: 0,
    max_lifetime: null,
    onnotice: ({ message, code }: postgres.Notice) => log.debug('The database says', { notice: message, code }),
  }
}
