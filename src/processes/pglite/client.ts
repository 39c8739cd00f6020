import type { Socket } from 'node:net'
import { Frames } from './frames'
import type { Step } from './greeting'
import { FrontendMessage, fatalError } from './messages'
import type { Turns, TurnTaker } from './turns'

/** One statement with all its parameters; the API's largest body is 70 MiB. */
const MAX_MESSAGE_BYTES = 128 * 1024 * 1024
/** A client that sends ahead is not read further. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024
/** A client that does not read gets no further turn. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024
const MAX_GREETING_BYTES = 16 * 1024
const GREETING_TIMEOUT_MS = 10_000

/** One connection to the embedded database, from its first byte to its last. */
export class WireClient implements TurnTaker {
  settings: Map<string, string> | undefined
  readonly settingStatements = new Set<string>()
  readonly statements = new Set<string>()

  private readonly frames = new Frames(MAX_GREETING_BYTES)
  private inbox: FrontendMessage[] = []
  private inboxBytes = 0
  private turnsInInbox = 0
  private welcomed = false
  private closed = false
  private readonly deadline: Timer

  constructor(
    private readonly socket: Socket,
    private readonly id: number,
    private readonly greet: (bytes: Buffer) => Step,
    private readonly turns: Turns,
    private readonly onClose: () => void,
  ) {
    this.deadline = setTimeout(() => this.close(), GREETING_TIMEOUT_MS)
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.read(Buffer.from(chunk)))
    socket.on('drain', () => turns.offer(this))
    // A reset needs no more than the close that follows it.
    socket.on('error', () => {})
    socket.on('close', () => this.close())
  }

  nextTurn(): FrontendMessage[] {
    const end = this.inbox.findIndex(({ endsTurn }) => endsTurn)
    const turn = this.inbox.splice(0, end + 1)
    this.turnsInInbox--
    for (const { bytes } of turn) this.inboxBytes -= bytes.length
    if (this.socket.isPaused() && this.inboxBytes <= MAX_WAITING_BYTES) this.socket.resume()
    return turn
  }

  hasTurn = () => this.turnsInInbox > 0
  isClogged = () => this.socket.writableLength > MAX_UNREAD_BYTES

  send(answer: Buffer) {
    if (!this.closed && answer.length > 0) this.socket.write(answer)
  }

  dismiss(code: string, message: string) {
    if (this.closed) return
    this.socket.end(fatalError(code, message))
    setTimeout(() => this.socket.destroy(), 1000).unref()
    this.close()
  }

  private close() {
    if (this.closed) return
    this.closed = true
    clearTimeout(this.deadline)
    if (!this.socket.writableEnded) this.socket.destroy()
    this.inbox = []
    this.turnsInInbox = 0
    this.turns.leave(this)
    this.onClose()
  }

  private read(chunk: Buffer) {
    if (this.closed) return
    this.frames.push(chunk)
    try {
      for (let bytes = this.frames.next(); bytes && !this.closed; bytes = this.frames.next()) {
        if (this.welcomed) this.accept(new FrontendMessage(bytes))
        else this.welcome(this.greet(bytes))
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      this.dismiss('08P01', error.message)
    }
    if (this.turnsInInbox === 0) return
    if (this.inboxBytes > MAX_WAITING_BYTES) this.socket.pause()
    this.turns.offer(this)
  }

  private welcome({ answer, refusal, hangUp, typed, done }: Step) {
    if (answer) this.send(answer)
    if (refusal) return this.dismiss(...refusal)
    if (hangUp) return this.close()
    if (typed) this.frames.expectTyped()
    if (!done) return
    clearTimeout(this.deadline)
    this.welcomed = true
    this.settings = done.settings
    this.frames.maxBytes = MAX_MESSAGE_BYTES
  }

  private accept(message: FrontendMessage) {
    if (message.type === 'X') return this.close()
    // COPY's data would come here, but COPY is refused; PostgreSQL too drops strays.
    if ('dcf'.includes(message.type)) return
    if (!'QPBEDCSH'.includes(message.type)) return this.dismiss('08P01', 'invalid frontend message type')
    const own = this.owned(message)
    this.inbox.push(own)
    this.inboxBytes += own.bytes.length
    if (own.endsTurn) this.turnsInInbox++
  }

  /** Statement names are one namespace in the one session, so each connection's get its mark. */
  private owned(message: FrontendMessage): FrontendMessage {
    const { statement, sql } = message
    const allowed = sql !== undefined && COPY_IN.test(sql) ? message.withSql(REFUSE_COPY) : message
    if (!statement) return allowed
    const name = `${this.id.toString(36)}.${statement}`
    if (message.type === 'P') this.statements.add(name)
    if (message.type === 'C') this.statements.delete(name)
    return allowed.withStatement(name)
  }
}

/** PGlite reads a turn's messages only, so COPY finds no data and ends the process. */
const COPY_IN = /(?:^|;)\s*copy\b[^;]*\bfrom\s+stdin\b/i
/** Fails inside PostgreSQL, which then skips and rolls back what it should. */
const REFUSE_COPY = "do $$ begin raise feature_not_supported using message = 'COPY FROM STDIN needs a real PostgreSQL'; end $$"
