import type { ServerWebSocket } from 'bun'
import { type LogEvent, needsSomebody } from '~/features/runs/log-event'
import { inRequestScope } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import { type CallerDeps, identify } from '~/platform/http/agent-caller'
import { problemDocument, toDomainError } from '~/platform/http/problems'
import type { Log } from '~/platform/log'
import { isPassing } from '~/platform/passing-failure'
import type { Origin, Principal } from '~/platform/principal'
import type { Room } from '~/platform/room'
import type { ChatService } from './service'
import { logEntries, type SocketFace, wholeEvents } from './socket-face'
import { type ClientFrame, readFrame, readRenewal } from './socket-protocol'
import { createSender, ReaderTooSlow, type Sender, SocketClosed } from './socket-sender'
import { createWaitingFrames, letGo, type WaitingFrame, type WaitingFrames } from './waiting-frames'

export interface Conversation {
  agentId: string
  externalId: string
  origin: Origin
  deltas: boolean
  onDisconnect: 'continue' | 'cancel'
}

export interface SocketDeps extends CallerDeps {
  chat: ChatService
  log: Log
  apiUrl: string
  /** Until when somebody must have said who they are. */
  authorizeWithinMs: number
  /** How long a client may leave a full buffer unread. */
  patienceMs: number
  maxFrameBytes: number
  /** For large frames. */
  room: Room
}

/** Of frames before the caller is known, apart from one message that may follow the authorization at once. */
const MAX_UNKNOWN_BYTES = 16_384
const MAX_WAITING_FRAMES = 20
const MAX_BROKEN_IN_A_ROW = 10

export const CLOSE = { policy: 1008, tooLarge: 1009, failed: 1011, restart: 1012, tooSlow: 1013 } as const

/**
 * One connection: Bun calls `open`, `message`, `drain` and `close`. A class, because an idle one should cost little.
 * One frame is worked on at a time; the ones behind it wait, within bounds. Only a fresh token is taken at once: a turn may outlast the old one.
 */
export class ChatSocket {
  private ws: ServerWebSocket<unknown> | undefined
  private sender: Sender | undefined
  private face: SocketFace
  private caller:
    | { frame: Extract<ClientFrame, { kind: 'authorization' }>; userId: string | undefined; clientId?: string | null }
    | undefined
  private readonly waiting: WaitingFrames
  private isWorking = false
  /** What the turn in hand waits for, until it goes on. */
  private pause: { entry: LogEvent; runId: string } | undefined
  private brokenInARow = 0
  private timer: ReturnType<typeof setTimeout> | undefined
  private leaving: AbortController | undefined
  private hasEnded = false
  private isStopping = false
  private isFlooded = false
  /** When the credentials were last found to be good; undefined until they were for the first time. */
  admittedAt: number | undefined

  constructor(
    private readonly deps: SocketDeps,
    private readonly talk: Conversation,
    /** Told once, when the caller is known or gone. */
    private readonly onSettled: (socket: ChatSocket, outcome: 'known' | 'gone') => void,
  ) {
    this.waiting = createWaitingFrames(deps.room)
    this.face = talk.deltas ? logEntries : wholeEvents({ agentName: 'agent' })
  }

  open(ws: ServerWebSocket<unknown>) {
    this.ws = ws
    this.sender = createSender(ws, this.deps)
    this.timer = setTimeout(() => this.end(CLOSE.policy, 'Not authorized in time'), this.deps.authorizeWithinMs)
    if (this.isStopping) this.stop(1)
  }

  message(_ws: unknown, raw: string | Uint8Array) {
    if (this.hasEnded || this.isFlooded) return
    const bytes = typeof raw === 'string' ? Buffer.byteLength(raw) : raw.byteLength
    if (this.admittedAt === undefined) {
      // The first frame says who it is; one message may be right behind it.
      const isFirst = this.caller === undefined && !this.isWorking
      if ((isFirst && bytes > MAX_UNKNOWN_BYTES) || (!isFirst && this.waiting.size > 0 && this.waiting.bytes + bytes > MAX_UNKNOWN_BYTES))
        return this.end(CLOSE.tooLarge, 'Too much before authorization')
    }
    if (this.waiting.size >= MAX_WAITING_FRAMES || this.waiting.bytes + bytes > this.deps.maxFrameBytes) {
      void this.refuseFlood()
      return
    }
    const renewal = this.isWorking && this.admittedAt !== undefined ? readRenewal(raw) : undefined
    if (renewal !== undefined) return void inRequestScope(() => this.renew(renewal)).catch((error) => this.failed(error))
    this.waiting.push({ raw, bytes }, this.caller?.clientId ?? this.talk.origin.address)
    if (!this.isWorking) void this.work()
    else if (this.pause !== undefined) void this.showAgain(this.pause)
  }

  drain() {
    this.sender?.drained()
  }

  /** Also when the upgrade failed. */
  close() {
    this.hasEnded = true
    this.release()
  }

  /** Asks again whether the credentials are good; without them the connection ends, and nothing more is shown. */
  async checkAgain(): Promise<void> {
    if (this.caller === undefined || this.hasEnded) return
    try {
      await inRequestScope(async () => this.deps.chat.authorize(await this.identify('read'), this.talk.agentId))
      this.admittedAt = performance.now()
    } catch (error) {
      // Whoever is away says nothing about the caller.
      if (isPassing(error) || (error instanceof DomainError && error.problem === 'rate-limited')) return
      this.end(CLOSE.policy, 'Not authorized any more')
    }
  }

  /** The process stops: an idle connection ends at once, another one with its turn. */
  stop(retryAfterSeconds: number) {
    this.isStopping = true
    if (!this.isWorking) this.end(CLOSE.restart, `The server restarts, come back in ${retryAfterSeconds} s`)
  }

  private async work() {
    this.isWorking = true
    while (!this.hasEnded) {
      const next = this.waiting.shift()
      if (next === undefined) break
      await inRequestScope(() => this.handle(next)).catch((error) => this.failed(error))
      letGo(next)
      if (this.isStopping) break
    }
    this.isWorking = false
    if (this.isStopping) this.stop(1)
  }

  private async handle(next: WaitingFrame) {
    if (this.caller === undefined) return this.authorize(next.raw)
    if (next.hold instanceof DomainError) throw next.hold
    const frame = readFrame(next.raw)
    // Its text may be long, and the turn too.
    next.raw = ''
    this.brokenInARow = 0
    if (frame.kind === 'authorization') return this.renew(frame)
    const principal = await this.identify('chat')
    this.admittedAt = performance.now()
    this.leaving ??= new AbortController()
    const { signal } = this.leaving
    if (frame.kind === 'resume') {
      const { runId, after } = frame
      return this.show(await this.deps.chat.resume(principal, runId, { after, signal }), runId)
    }
    const { agentId, externalId, onDisconnect } = this.talk
    const turn = { agentId, externalId, message: frame.message, onDisconnect, signal, onAccepted: () => letGo(next) }
    const { runId, entries } = await this.deps.chat.stream(principal, turn)
    await this.show(entries, runId)
  }

  private async show(entries: AsyncIterable<LogEvent | undefined>, runId: string) {
    try {
      for await (const entry of entries) {
        if (this.hasEnded) return
        // Quiet: Bun pings by itself.
        if (entry === undefined) continue
        this.pause = needsSomebody(entry) ? { entry, runId } : undefined
        for (const frame of this.face.entry(entry, runId)) await this.sender?.send(frame)
      }
    } finally {
      this.pause = undefined
    }
  }

  /** To whoever writes while the turn in hand waits for somebody: their message waits with it. */
  private async showAgain({ entry, runId }: { entry: LogEvent; runId: string }) {
    try {
      for (const frame of this.face.entry(entry, runId)) await this.sender?.send(frame)
    } catch (error) {
      await this.failed(error)
    }
  }

  private async authorize(raw: string | Uint8Array) {
    try {
      const frame = readFrame(raw)
      if (frame.kind !== 'authorization') return this.end(CLOSE.policy, 'Not authorized')
      this.caller = { frame, userId: undefined }
      const principal = await this.identify('read')
      const { name } = await this.deps.chat.authorize(principal, this.talk.agentId)
      this.caller = { frame, userId: principal.kind === 'user' ? principal.userId : undefined, clientId: principal.clientId }
      this.face = (frame.deltas ?? this.talk.deltas) ? logEntries : wholeEvents({ agentName: name })
    } catch (error) {
      if (isPassing(error)) return this.end(CLOSE.restart, 'The server cannot look you up now, come back in 2 s')
      if (!(error instanceof DomainError)) this.deps.log.error('a socket could not be authorized', this.logged(error))
      return this.end(CLOSE.policy, 'Not authorized')
    }
    if (this.hasEnded) return
    this.admittedAt = performance.now()
    this.settle('known')
    for (const frame of this.face.welcome()) await this.sender?.send(frame)
  }

  /** A fresh token of the same person, before the old one expires. */
  private async renew(frame: Extract<ClientFrame, { kind: 'authorization' }>) {
    const before = this.caller
    this.caller = { ...before, frame, userId: before?.userId }
    try {
      await this.identify('read')
    } catch (error) {
      this.caller = before
      throw error
    }
    this.admittedAt = performance.now()
  }

  /** @throws DomainError for credentials that are not good any more, or are somebody else's */
  private async identify(rateClass: 'read' | 'chat'): Promise<Principal> {
    const { frame, userId } = this.caller ?? {}
    // A machine key is taken wherever it stands.
    const isMachineKey = frame?.apiKey?.startsWith('evo_') === true
    const token = frame?.token ?? (isMachineKey ? frame?.apiKey : undefined)
    const key = isMachineKey ? null : (frame?.apiKey ?? null)
    const principal = await identify(
      { token: () => token ?? '', hasToken: token !== undefined, key },
      { agentId: this.talk.agentId, origin: this.talk.origin, rateClass },
      this.deps,
    )
    if (userId !== undefined && principal.kind === 'user' && principal.userId !== userId)
      throw new DomainError('invalid-token', 'Another person’s token.')
    return principal
  }

  private async failed(error: unknown) {
    if (this.hasEnded || error instanceof SocketClosed) return
    if (error instanceof ReaderTooSlow) return this.end(CLOSE.tooSlow, 'Read faster; resume the run where you stopped')
    const failure = toDomainError(error)
    if (failure.problem === 'internal') this.deps.log.error('a turn could not be shown', this.logged(error))
    if (failure.problem === 'malformed-request' || failure.problem === 'validation-failed') this.brokenInARow += 1
    await this.tell(failure)
    if (ENDING.has(failure.problem)) return this.end(CLOSE.policy, failure.problem)
    if (this.brokenInARow >= MAX_BROKEN_IN_A_ROW) this.end(CLOSE.policy, 'Too many broken frames')
  }

  private async tell(failure: DomainError) {
    const { agentId, externalId, origin } = this.talk
    const instance = `/api/v1/chat/ws/${agentId}/${externalId}`
    const problem = problemDocument(failure, { apiUrl: this.deps.apiUrl, instance, traceId: origin.traceId })
    try {
      for (const frame of this.face.failure(failure, problem)) await this.sender?.send(frame)
    } catch (error) {
      if (error instanceof ReaderTooSlow) this.end(CLOSE.tooSlow, 'Read faster')
      else if (!(error instanceof SocketClosed)) throw error
    }
  }

  /** More messages than turns could ever be taken for. */
  private async refuseFlood() {
    this.waiting.clear()
    this.isFlooded = true
    await this.tell(new DomainError('rate-limited', 'Too many messages at once.'))
    this.end(CLOSE.policy, 'rate-limited')
  }

  private end(code: number, reason: string) {
    if (this.hasEnded) return
    this.hasEnded = true
    this.release()
    this.ws?.close(code, reason)
  }

  private release() {
    this.sender?.closed()
    this.leaving?.abort(new SocketClosed())
    this.waiting.clear()
    this.settle('gone')
  }

  private settle(outcome: 'known' | 'gone') {
    clearTimeout(this.timer)
    this.timer = undefined
    this.onSettled(this, outcome)
  }

  private logged(error: unknown) {
    return { trace_id: this.talk.origin.traceId, agent_id: this.talk.agentId, error }
  }
}

/** After these the caller has nothing more to say. */
const ENDING: ReadonlySet<string> = new Set(['rate-limited', 'unauthenticated', 'invalid-token', 'invalid-api-key'])
