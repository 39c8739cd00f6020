import { DomainError } from '~/platform/errors'
import type { Hold, Room } from '~/platform/room'

export interface WaitingFrame {
  raw: string | Uint8Array
  bytes: number
  /** Room of a large one, until what it says is written down; or why there was none. */
  hold: Hold | DomainError
}

export interface WaitingFrames {
  readonly size: number
  readonly bytes: number
  /** What finds no room is not kept: it is told of in its turn. */
  push(frame: { raw: string | Uint8Array; bytes: number }, holder: string): void
  shift(): WaitingFrame | undefined
  clear(): void
}

/** The frames of one connection that wait for their turn. */
export function createWaitingFrames(room: Room): WaitingFrames {
  const frames: WaitingFrame[] = []
  let bytes = 0
  return {
    get size() {
      return frames.length
    },
    get bytes() {
      return bytes
    },
    push(frame, holder) {
      const hold = room.takeNow(holder, frame.bytes)
      frames.push({ ...frame, hold, ...(hold instanceof DomainError && { raw: '' }) })
      bytes += frame.bytes
    },
    shift() {
      const next = frames.shift()
      bytes -= next?.bytes ?? 0
      return next
    },
    clear() {
      for (const frame of frames.splice(0)) letGo(frame)
      bytes = 0
    },
  }
}

export function letGo({ hold }: WaitingFrame) {
  if (!(hold instanceof DomainError)) hold.release()
}
