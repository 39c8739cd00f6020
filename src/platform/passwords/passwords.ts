import { availableParallelism } from 'node:os'
import { DomainError } from '../errors'

export interface Passwords {
  /**
   * Comes before whatever else a check of a password needs. While the queue is full it holds the caller for a moment: who is turned away at once comes
   * back at once, and a flood of those would take the processor from the passwords in hand.
   * @throws DomainError `overloaded` after one and a half seconds without room, or at once when very many are held
   */
  waitForRoom(): Promise<void>
  /** bcrypt, `$2b$`. @throws DomainError `overloaded` when the queue is longer than two seconds' work. */
  hash(password: string): Promise<string>
  /**
   * Against a bcrypt hash (`$2a$`, `$2b$`, `$2y$`), or against nothing: a no takes the same time for every account, and for none.
   * False for an empty password and for a hash that is none. @throws DomainError `overloaded`, as above.
   */
  verify(password: string, stored: StoredPassword | undefined): Promise<boolean>
  close(): void
}

export interface StoredPassword {
  hash: string
  /** Made by another system, which may have cut the password at 72 bytes: then the first 72 bytes count as the password. */
  isImported?: boolean
}

export type PasswordJob =
  | { id: number; kind: 'hash'; password: string; cost: number }
  | { id: number; kind: 'verify'; password: string; cost: number; hash: string | undefined; isImported: boolean }
export type PasswordAnswer = { id: number; value: string | boolean } | { id: number; failure: string }

const MAX_WAIT_MS = 2000
const MAX_QUEUE = 1000
const HOLD_MS = 1500
const LOOK_AGAIN_MS = 100
const MAX_HELD = 1000

interface Waiting {
  job: PasswordJob
  resolve: (value: string | boolean) => void
  reject: (error: Error) => void
  startedAt: number
}

/**
 * Hashes in threads of our own, one per core. Bun.password's asynchronous form shares Bun's pool with WebCrypto, DNS and files: a flood of sign-ins would
 * stall every token check by seconds. The threads start with the first password, so an idle process does not pay for them.
 */
export function createPasswords({ cost, threads = availableParallelism() }: { cost: number; threads?: number }): Passwords {
  const idle: Worker[] = []
  const all: Worker[] = []
  const queue: Waiting[] = []
  const running = new Map<number, Waiting>()
  let nextId = 1
  let typicalMs = 2 ** (cost - 12) * 250
  let closed = false
  let held = 0

  const start = () => {
    const worker = new Worker(new URL('./password-thread.ts', import.meta.url).href)
    worker.onmessage = ({ data }: MessageEvent<PasswordAnswer>) => settle(worker, data)
    worker.onerror = () => replace(worker)
    worker.unref()
    all.push(worker)
    return worker
  }

  const settle = (worker: Worker, answer: PasswordAnswer) => {
    const waiting = running.get(answer.id)
    running.delete(answer.id)
    idle.push(worker)
    if (waiting !== undefined) {
      if ('value' in answer) {
        typicalMs += (performance.now() - waiting.startedAt - typicalMs) / 8
        waiting.resolve(answer.value)
      } else waiting.reject(new Error(answer.failure))
    }
    next()
  }

  /** A thread that died takes its job with it; the others must not wait for it. */
  const replace = (worker: Worker) => {
    all.splice(all.indexOf(worker), 1)
    for (const waiting of running.values())
      waiting.reject(new DomainError('overloaded', 'Password hashing was interrupted.', { retryAfterSeconds: 1 }))
    running.clear()
    next()
  }

  const next = () => {
    while (queue.length > 0 && !closed) {
      const worker = idle.pop() ?? (all.length < threads ? start() : undefined)
      if (worker === undefined) return
      const waiting = queue.shift() as Waiting
      waiting.startedAt = performance.now()
      running.set(waiting.job.id, waiting)
      worker.postMessage(waiting.job)
    }
  }

  const waitMs = () => (queue.length * typicalMs) / threads
  const isFull = () => closed || queue.length >= MAX_QUEUE || waitMs() > MAX_WAIT_MS
  const overloaded = () =>
    new DomainError('overloaded', 'Too many sign-ins at once.', { retryAfterSeconds: Math.ceil(waitMs() / 1000) || 1 })

  const submit = (job: PasswordJob) =>
    new Promise<string | boolean>((resolve, reject) => {
      if (isFull()) return reject(overloaded())
      queue.push({ job, resolve, reject, startedAt: 0 })
      next()
    })

  return {
    async waitForRoom() {
      if (!isFull()) return
      if (closed || held >= MAX_HELD) throw overloaded()
      held++
      try {
        for (const until = performance.now() + HOLD_MS; performance.now() < until && isFull() && !closed; ) await Bun.sleep(LOOK_AGAIN_MS)
      } finally {
        held--
      }
      if (isFull()) throw overloaded()
    },
    hash: async (password) => (await submit({ id: nextId++, kind: 'hash', password, cost })) as string,
    verify: async (password, stored) =>
      (await submit({
        id: nextId++,
        kind: 'verify',
        password,
        cost,
        hash: stored?.hash,
        isImported: stored?.isImported === true,
      })) as boolean,
    close() {
      closed = true
      for (const worker of all) worker.terminate()
      for (const { reject } of queue.splice(0)) reject(new DomainError('overloaded', 'The server is stopping.', { retryAfterSeconds: 1 }))
    },
  }
}
