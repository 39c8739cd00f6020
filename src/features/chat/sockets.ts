import { DomainError } from '~/platform/errors'
import { ChatSocket, type Conversation, type SocketDeps } from './socket'

/** The open chats of this process. */
export interface ChatSockets {
  /** A new connection, for Bun's upgrade to hand over. @throws DomainError `forbidden`, `rate-limited`, `overloaded` */
  admit(request: Conversation & { webOrigin: string | null }): ChatSocket
  /** Takes no more connections, ends the idle ones, and the others when their turn is over. */
  drain(): void
  close(): void
}

interface Settings {
  /** Origins whose pages may open a chat; `*` allows any. */
  corsOrigins: string[]
  /** Credentials are looked at again this often: whoever lost the right to talk hears nothing more. */
  checkAgainMs: number
}

const ROUND_MS = 1000
const MAX_SOCKETS = 50_000
/** Until they have said who they are: each may hold a frame of the largest size. */
const MAX_UNKNOWN_PER_ADDRESS = 32
const MAX_RETRY_SECONDS = 5

export function createChatSockets({ corsOrigins, checkAgainMs, ...deps }: SocketDeps & Settings): ChatSockets {
  const sockets = new Set<ChatSocket>()
  const unknown = new Map<string, number>()
  const allowed = new Set([...corsOrigins, new URL(deps.apiUrl).origin])
  let isDraining = false

  const forget = (address: string) => {
    const left = (unknown.get(address) ?? 1) - 1
    if (left > 0) unknown.set(address, left)
    else unknown.delete(address)
  }

  /** A part of them each second, so that all are asked in time and never all at once. */
  const checkSome = async () => {
    const due = performance.now() - checkAgainMs
    let left = Math.ceil(sockets.size / (checkAgainMs / ROUND_MS / 2))
    const checks: Promise<void>[] = []
    for (const socket of sockets) {
      if (socket.admittedAt === undefined || socket.admittedAt > due) continue
      checks.push(socket.checkAgain())
      if (--left <= 0) break
    }
    await Promise.all(checks)
  }

  let isChecking = false
  let timer: ReturnType<typeof setInterval> | undefined
  const keepChecking = () =>
    setInterval(async () => {
      if (isChecking) return
      isChecking = true
      await checkSome()
      isChecking = false
    }, ROUND_MS)

  return {
    admit({ webOrigin, ...talk }) {
      const { address } = talk.origin
      if (webOrigin !== null && !allowed.has('*') && !allowed.has(webOrigin))
        throw new DomainError('forbidden', 'Pages of this origin may not open a chat here.')
      if (isDraining || sockets.size >= MAX_SOCKETS) throw new DomainError('overloaded', 'No more connections here, try again.')
      const before = unknown.get(address) ?? 0
      if (before >= MAX_UNKNOWN_PER_ADDRESS) throw new DomainError('rate-limited', 'Too many connections that have not said who they are.')
      unknown.set(address, before + 1)
      timer ??= keepChecking()
      let isKnown = false
      const socket = new ChatSocket(deps, talk, (self, outcome) => {
        if (!isKnown) forget(address)
        isKnown = true
        if (outcome === 'gone') sockets.delete(self)
      })
      sockets.add(socket)
      return socket
    },

    drain() {
      isDraining = true
      // Not all at the same moment to the other processes.
      for (const socket of [...sockets]) socket.stop(1 + Math.floor(Math.random() * MAX_RETRY_SECONDS))
    },

    close() {
      clearInterval(timer)
    },
  }
}
