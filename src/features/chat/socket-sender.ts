import type { ServerWebSocket } from 'bun'

/** What a socket holds for a client that reads slower than the agent speaks. A single event may be larger. */
const MAX_BUFFERED = 1_048_576

/** The client does not read what it asked for. */
export class ReaderTooSlow extends Error {
  override name = 'ReaderTooSlow'
}

/** The client is gone. */
export class SocketClosed extends Error {
  override name = 'SocketClosed'
}

/** Sends frames one after the other, each only when there is room for it: whoever produces them waits meanwhile, and none is ever dropped. */
export interface Sender {
  /** @throws ReaderTooSlow when there was no room for `patienceMs`; SocketClosed */
  send(frame: object): Promise<void>
  /** The socket has room again. */
  drained(): void
  /** Nobody listens any more. */
  closed(): void
}

export function createSender(ws: ServerWebSocket<unknown>, { patienceMs }: { patienceMs: number }): Sender {
  let isOpen = true
  let waiting: PromiseWithResolvers<void> | undefined

  const wake = () => {
    waiting?.resolve()
    waiting = undefined
  }

  const room = async (bytes: number) => {
    const deadline = performance.now() + patienceMs
    while (isOpen && ws.getBufferedAmount() > 0 && ws.getBufferedAmount() + bytes > MAX_BUFFERED) {
      const left = deadline - performance.now()
      if (left <= 0) throw new ReaderTooSlow()
      waiting ??= Promise.withResolvers()
      const timer = setTimeout(wake, left)
      await waiting.promise
      clearTimeout(timer)
    }
    if (!isOpen) throw new SocketClosed()
  }

  return {
    async send(frame) {
      const text = JSON.stringify(frame)
      await room(text.length)
      // 0: dropped. It is told apart from -1, which is queued.
      if (ws.sendText(text) === 0 && ws.readyState === WebSocket.OPEN) throw new ReaderTooSlow()
    },
    drained: wake,
    closed() {
      isOpen = false
      wake()
    },
  }
}
