import type { IncomingMessage } from 'node:http'
import { pipeline, type Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw } from 'node:zlib'
import { DomainError } from '../errors'

/**
 * The body without its content encoding, a few KiB at a time and only as fast as it is read, so a bomb costs no memory.
 * `maxBytes` holds before and after decoding: a stream that decodes to nothing must not run on either.
 * Leaving the loop early closes the connection.
 */
export async function* decodedBody(
  message: IncomingMessage,
  { encoding, maxBytes, signal }: { encoding: string; maxBytes: number; signal: AbortSignal },
): AsyncGenerator<Uint8Array, void, undefined> {
  const stop = () => message.destroy()
  signal.addEventListener('abort', stop, { once: true })
  try {
    signal.throwIfAborted()
    const raw = limited(message, maxBytes + overhead(maxBytes))
    yield* encoding === '' || encoding === 'identity' ? limited(raw, maxBytes) : limited(decode(raw, encoding), maxBytes)
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw error instanceof DomainError
      ? error
      : new DomainError('upstream-error', 'The response broke off or was damaged.', { cause: error })
  } finally {
    signal.removeEventListener('abort', stop)
    message.destroy()
  }
}

/** What the encodings may add to incompressible data: some bytes for each block of 16 KiB, and a header. */
const overhead = (bytes: number) => Math.ceil(bytes / 512) + 1024

async function* limited(chunks: AsyncIterable<Uint8Array>, maxBytes: number) {
  let total = 0
  for await (const chunk of chunks) {
    total += chunk.byteLength
    if (total > maxBytes) throw new DomainError('upstream-error', 'The response is larger than allowed.')
    yield chunk
  }
}

async function* decode(raw: AsyncGenerator<Uint8Array>, encoding: string): AsyncGenerator<Uint8Array> {
  const first = await raw.next()
  if (first.done) return
  const decoder = createDecoder(encoding, first.value)
  async function* whole() {
    yield first.value as Uint8Array
    yield* raw
  }
  // Errors of either side come out of the loop below.
  pipeline(whole, decoder, () => {})
  yield* decoder
}

function createDecoder(encoding: string, [start = 0]: Uint8Array): Transform {
  if (encoding === 'gzip' || encoding === 'x-gzip') return createGunzip()
  if (encoding === 'br') return createBrotliDecompress()
  // Some servers send deflate without the zlib wrapper that RFC 9110 §8.4.1.2 demands; a wrapper's first byte has method 8 in its low bits.
  if (encoding === 'deflate') return (start & 0x0f) === 8 ? createInflate() : createInflateRaw()
  throw new DomainError('upstream-error', 'The response has a content encoding that was not asked for.')
}
