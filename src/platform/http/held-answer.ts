import { type Hold, type Room, SMALL_BYTES } from '../room'
import { ROOM_WITHIN_MS } from './held-body'

/** Takes room for what an answer is about to hold. @throws DomainError `overloaded` */
export type TakeRoom = (holder: string, bytes: number) => Promise<void>

const PIECE = 262_144

/**
 * An answer that may be large. One that takes room goes out as fast as its client reads and no faster, since Bun would take a copy of all of it, and leaves the
 * room when it is read, or its client is gone.
 */
export async function heldAnswer<T extends object>(room: Room, make: (take: TakeRoom) => Promise<T>): Promise<T> {
  let held: Hold | undefined
  try {
    const value = await make(async (holder, bytes) => {
      if (bytes > SMALL_BYTES) held = await room.take(holder, bytes, { maxWaitMs: ROOM_WITHIN_MS })
    })
    // A Response goes out as it is, whatever the route says that it answers; its text is of the same type.
    return held === undefined ? value : (streamed(JSON.stringify(value), held) as unknown as T)
  } catch (error) {
    held?.release()
    throw error
  }
}

function streamed(text: string, held: Hold): Response {
  const encoder = new TextEncoder()
  let at = 0
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(encoder.encode(text.slice(at, endOfPiece(text, at))))
      at = endOfPiece(text, at)
      if (at < text.length) return
      controller.close()
      held.release()
    },
    cancel: () => held.release(),
  })
  return new Response(body, { headers: { 'content-type': 'application/json' } })
}

/** Not between the halves of one character. */
function endOfPiece(text: string, start: number): number {
  const end = start + PIECE
  const last = text.charCodeAt(end - 1)
  return last >= 0xd800 && last < 0xdc00 ? end + 1 : end
}
