import { type Hold, type Room, SMALL_BYTES } from '../room'

/** Room for the bodies of requests. */
export interface BodyRooms {
  /** For those that carry files: shared with the files of runs. */
  large: Room
  /** For those that anybody may send. */
  ordinary: Room
}

/** Who finds no room by then is answered 503: nothing was read for it until then. */
export const ROOM_WITHIN_MS = 1500

const holds = new WeakMap<Request, Hold>()

/** Takes room for a body before it is read, or for what answers it, until `letBodyGo`. @throws DomainError `overloaded` */
export async function holdBody(request: Request, room: Room, { holder, bytes }: { holder: string; bytes: number }) {
  if (bytes > SMALL_BYTES) holds.set(request, await room.take(holder, bytes, { maxWaitMs: ROOM_WITHIN_MS }))
}

/** The answer is sent, or the body is not needed for it any more. */
export function letBodyGo(request: Request) {
  holds.get(request)?.release()
}
