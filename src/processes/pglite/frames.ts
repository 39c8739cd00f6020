/**
 * Cuts a byte stream into protocol messages: the first of a connection has a length and no type, the others a type byte and a length. Bytes are
 * copied once, when a message is complete, however many packets it came in.
 */
export class Frames {
  private chunks: Buffer[] = []
  private size = 0
  private typed = false

  /** `maxBytes` bounds one message, and so what is held back for an incomplete one. */
  constructor(public maxBytes: number) {}

  /** From now on messages have a type byte. */
  expectTyped() {
    this.typed = true
  }

  push(chunk: Buffer) {
    this.chunks.push(chunk)
    this.size += chunk.length
  }

  /** The next complete message. @throws RangeError when it is longer than allowed or its length makes no sense. */
  next(): Buffer | undefined {
    const header = this.typed ? 5 : 4
    if (this.size < header) return undefined
    const length = this.peekLength(header - 4)
    if (length < (this.typed ? 4 : 8) || length > this.maxBytes) throw new RangeError('invalid message length')
    const whole = header - 4 + length
    return this.size < whole ? undefined : this.cut(whole)
  }

  private peekLength(at: number): number {
    while ((this.chunks[0]?.length ?? 0) < at + 4 && this.chunks.length > 1) this.join(2)
    return this.chunks[0]?.readInt32BE(at) ?? 0
  }

  private cut(whole: number): Buffer {
    if ((this.chunks[0]?.length ?? 0) < whole) this.join(this.chunks.length)
    const first = this.chunks[0] ?? Buffer.alloc(0)
    const rest = first.subarray(whole)
    if (rest.length > 0) this.chunks[0] = rest
    else this.chunks.shift()
    this.size -= whole
    return first.subarray(0, whole)
  }

  private join(count: number) {
    this.chunks.splice(0, count, Buffer.concat(this.chunks.slice(0, count)))
  }
}
