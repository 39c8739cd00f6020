import { dial } from './dial'
import type { Address } from './target'

const CANCEL_REQUEST = 80_877_102

/**
 * Asks the server to stop what the session is doing, and waits for it to hang up, which is all the answer there is. The session must stay connected
 * until then: a pooler finds its server by it.
 */
export async function requestCancel(address: Address, { pid, secret }: { pid: number; secret: number }, timeoutMs: number) {
  const deadline = AbortSignal.timeout(timeoutMs)
  const socket = await dial(address, deadline)
  const message = Buffer.alloc(16)
  for (const [index, word] of [16, CANCEL_REQUEST, pid, secret].entries()) message.writeInt32BE(word | 0, index * 4)
  await new Promise<void>((resolve) => {
    deadline.addEventListener('abort', () => socket.destroy())
    socket.once('close', () => resolve())
    socket.resume()
    socket.write(message)
  })
}
