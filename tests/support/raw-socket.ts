import { connect } from 'node:net'

/** A WebSocket client that reads only when it is told to (RFC 6455 §5.2). */
export async function openRawSocket(url: string, path: string) {
  const { hostname, port, host } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) })
  await new Promise((resolve) => socket.once('connect', resolve))
  let bytes: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
  })
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.on('error', () => socket.destroy())
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${btoa('0123456789abcdef')}\r\n\r\n`,
  )
  while (!bytes.includes('\r\n\r\n')) await Bun.sleep(5)
  bytes = bytes.subarray(bytes.indexOf('\r\n\r\n') + 4)

  return {
    /** A masked text frame of less than 64 KiB; the mask is zero. */
    send(frame: object) {
      const payload = Buffer.from(JSON.stringify(frame))
      const header = Buffer.alloc(8)
      header.writeUInt8(0x81, 0)
      header.writeUInt8(0x80 | 126, 1)
      header.writeUInt16BE(payload.length, 2)
      socket.write(Buffer.concat([header, payload]))
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    closed,
    /** The frames read so far. */
    frames(): { opcode: number; payload: Buffer }[] {
      const frames: { opcode: number; payload: Buffer }[] = []
      for (let at = 0; at + 2 <= bytes.length; ) {
        const short = bytes.readUInt8(at + 1) & 0x7f
        const size = short === 127 ? 8 : short === 126 ? 2 : 0
        if (at + 2 + size > bytes.length) break
        const length = size === 8 ? Number(bytes.readBigUInt64BE(at + 2)) : size === 2 ? bytes.readUInt16BE(at + 2) : short
        const start = at + 2 + size
        if (start + length > bytes.length) break
        frames.push({ opcode: bytes.readUInt8(at) & 0x0f, payload: bytes.subarray(start, start + length) })
        at = start + length
      }
      return frames
    },
    destroy: () => socket.destroy(),
  }
}

export const OPCODE = { text: 1, close: 8, ping: 9 }
