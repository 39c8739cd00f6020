import { DomainError } from '~/platform/errors'
import type { Outbound } from '~/platform/outbound'
import type { RemoteServer } from './types'

export interface GuardedFetchOptions {
  outbound: Outbound
  server: RemoteServer
  /** Whether the server may keep a stream open beside the answers to requests, as the older transport does. */
  streams: boolean
  /** Of one exchange, and of such a stream. */
  timeoutMs: number
  streamMs: number
  /** Of one answer, and of one event of a stream. */
  maxBytes: number
}

export interface GuardedFetch {
  fetch(input: string | URL, init?: RequestInit): Promise<Response>
  /** Why the last exchange failed, in our own words, once: the SDK wraps it in its own. */
  takeFault(): DomainError | undefined
}

/** What a stream may bring in all before its connection is replaced. */
const STREAM_ANSWERS = 64
/** Not for a tenant to say: they belong to the protocol. */
const OF_THE_PROTOCOL = new Set([
  'accept',
  'content-type',
  'last-event-id',
  'mcp-session-id',
  'mcp-protocol-version',
  'mcp-method',
  'mcp-name',
])

/**
 * The SDK's way out: through the outbound guard, to the configured origin alone, with the configured headers alone, following no redirect. Nobody
 * is asked for credentials, so whatever a server demands, there is none to give.
 */
export function createGuardedFetch({ outbound, server, streams, timeoutMs, streamMs, maxBytes }: GuardedFetchOptions): GuardedFetch {
  const { origin } = new URL(server.url)
  let fault: DomainError | undefined

  const send = async (input: string | URL, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(String(input))
    if (url.origin !== origin)
      throw new DomainError('url-not-allowed', 'The server points to another origin, where its headers must not go.')
    const method = init.method ?? 'GET'
    const headers = new Headers(init.headers)
    for (const [name, value] of Object.entries(server.headers)) if (!OF_THE_PROTOCOL.has(name.toLowerCase())) headers.set(name, value)
    const resumes = headers.has('last-event-id')
    // A stream for whatever the server may want to say would be held open for nothing: tool lists are read again when they are old.
    if (method === 'GET' && !streams && !resumes) return new Response(null, { status: 405 })
    const isStream = method === 'GET' && !resumes
    const response = await outbound.fetch(
      url,
      { method, headers, body: init.body ?? null, signal: init.signal ?? null },
      { timeoutMs: isStream ? streamMs : timeoutMs, maxBytes: isStream ? maxBytes * STREAM_ANSWERS : maxBytes },
    )
    if (response.status >= 300 && response.status < 400) {
      await response.body?.cancel()
      throw new DomainError('url-not-allowed', 'The remote side answered with a redirect, which is not followed.')
    }
    return isStream && response.body !== null ? new Response(boundEvents(response.body, maxBytes), response) : response
  }

  return {
    async fetch(input, init) {
      try {
        return await send(input, init)
      } catch (error) {
        if (error instanceof DomainError) fault = error
        throw error
      }
    },
    takeFault() {
      const taken = fault
      fault = undefined
      return taken
    },
  }
}

const LINE_FEED = 10
const RETURN = 13

/** Fails a stream of events at one that has no end: the SDK's parser would collect it in memory. */
function boundEvents(stream: ReadableStream<Uint8Array>, maxBytes: number): ReadableStream<Uint8Array> {
  let bytes = 0
  let atLineStart = false
  return stream.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        for (const byte of chunk) {
          bytes++
          if (byte === RETURN) continue
          if (byte === LINE_FEED && atLineStart) bytes = 0
          atLineStart = byte === LINE_FEED
        }
        if (bytes > maxBytes) throw new DomainError('upstream-error', 'An event of the remote side is larger than allowed.')
        controller.enqueue(chunk)
      },
    }),
  )
}
