import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import type { LookupFunction } from 'node:net'
import { DomainError } from '../errors'
import { decodedBody } from './decode'

export interface Exchange {
  /** Checked already, a literal address included: `lookup` is not asked about those. */
  url: URL
  method: string
  headers: Headers
  body: Uint8Array | undefined
  /** Of the decoded response body. */
  maxBytes: number
  /** Ends the exchange in any state; the rejection is its reason. */
  signal: AbortSignal
  lookup: LookupFunction
  ca: string | undefined
}

export interface Received {
  status: number
  /** Of the decoded body: without its encoding and framing. */
  headers: Headers
  /** To be read once; ends, fails or is left with the connection closed. */
  body: AsyncIterable<Uint8Array>
  /** Drops what has not been read. */
  close(): void
}

const MAX_HEADER_BYTES = 16_384
const FRAMING = new Set(['connection', 'keep-alive', 'transfer-encoding', 'trailer', 'upgrade', 'proxy-authenticate'])

/** One request on a connection of its own: a kept one would be shared between tenants and would outlive the check of its address. */
export function exchange({ url, method, headers, body, maxBytes, signal, lookup, ca }: Exchange): Promise<Received> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<Received>()
  const length = body?.byteLength ?? (method === 'POST' || method === 'PUT' || method === 'PATCH' ? 0 : undefined)
  const outgoing = (url.protocol === 'https:' ? https : http).request(url, {
    method,
    headers: { ...Object.fromEntries(headers), ...(length === undefined ? {} : { 'content-length': length }) },
    agent: false,
    lookup,
    maxHeaderSize: MAX_HEADER_BYTES,
    rejectUnauthorized: true, // also where the environment says otherwise
    ...(ca === undefined ? {} : { ca }),
  })
  const onAbort = () => {
    outgoing.destroy()
    reject(signal.reason)
  }
  const settled = () => signal.removeEventListener('abort', onAbort)
  signal.addEventListener('abort', onAbort, { once: true })
  outgoing.once('close', settled)
  outgoing.on('error', (error) => reject(signal.aborted ? signal.reason : unreachable(error)))
  outgoing.on('upgrade', (_, socket) => {
    socket.destroy()
    reject(unreachable())
  })
  outgoing.on('response', (message) => {
    try {
      resolve(receive(message, { method, maxBytes, signal }))
    } catch (error) {
      message.destroy()
      reject(error instanceof DomainError ? error : unreachable(error))
    }
  })
  outgoing.end(body)
  return promise
}

/** One text for all: it must not tell an open port from a closed one, nor what speaks there. */
const unreachable = (error?: unknown) =>
  error instanceof DomainError
    ? error
    : new DomainError('upstream-error', 'The remote side could not be reached, or its answer was not HTTP.', { cause: error })

function receive(
  message: IncomingMessage,
  { method, maxBytes, signal }: { method: string; maxBytes: number; signal: AbortSignal },
): Received {
  const status = message.statusCode ?? 0
  if (status < 200 || status > 599) throw unreachable()
  const headers = new Headers()
  for (let at = 0; at + 1 < message.rawHeaders.length; at += 2) {
    const name = message.rawHeaders[at] ?? ''
    if (!FRAMING.has(name.toLowerCase())) headers.append(name, message.rawHeaders[at + 1] ?? '')
  }
  const encoding = (headers.get('content-encoding') ?? '').trim().toLowerCase()
  const hasBody = method !== 'HEAD' && status !== 204 && status !== 304
  if (hasBody && encoding !== '' && encoding !== 'identity') {
    headers.delete('content-encoding')
    headers.delete('content-length')
  }
  return {
    status,
    headers,
    body: decodedBody(message, { encoding: hasBody ? encoding : '', maxBytes, signal }),
    close: () => message.destroy(),
  }
}
