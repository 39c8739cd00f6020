/** A chat over a WebSocket, as the web frontend holds it, and what came over it. */
export interface ChatConnection {
  socket: WebSocket
  // biome-ignore lint/suspicious/noExplicitAny: tests look into frames of every shape
  frames: any[]
  send(frame: object): void
  /** Settles with the first frame, from the one numbered `from` on, that fits. @throws when the socket closes or 10 s pass */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into frames of every shape
  until(fits: (frame: any) => boolean, from?: number): Promise<any>
  closed: Promise<{ code: number; reason: string }>
}

export async function openChat(url: string, first?: object, headers: Record<string, string> = {}): Promise<ChatConnection> {
  // Bun's own client takes headers beside the protocols.
  const socket = new WebSocket(url.replace('http', 'ws'), { headers } as unknown as string[])
  const frames: unknown[] = []
  let heard = Promise.withResolvers<void>()
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.addEventListener('close', ({ code, reason }) => {
      resolve({ code, reason })
      heard.resolve()
    }),
  )
  socket.addEventListener('message', ({ data }) => {
    frames.push(JSON.parse(String(data)))
    heard.resolve()
    heard = Promise.withResolvers()
  })
  await Promise.race([new Promise((resolve) => socket.addEventListener('open', resolve)), closed])
  const send = (frame: object) => socket.send(JSON.stringify(frame))
  if (first !== undefined && socket.readyState === WebSocket.OPEN) send(first)
  return {
    socket,
    frames,
    send,
    async until(fits, from = 0) {
      const deadline = performance.now() + 10_000
      for (let at = from; ; ) {
        for (; at < frames.length; at++) if (fits(frames[at])) return frames[at]
        if (socket.readyState === WebSocket.CLOSED || performance.now() > deadline)
          throw new Error(`the frame did not come; there were: ${JSON.stringify(frames).slice(0, 2000)}`)
        await Promise.race([heard.promise, Bun.sleep(1000)])
      }
    },
    closed,
  }
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into frames of every shape
export const isTurnComplete = (frame: any) => frame.turn_complete === true
