import { DomainError } from './errors'
import type { Log } from './log'
import { startDeadline } from './outbound/deadline'
import { exchange, type Received } from './outbound/exchange'
import { checkOutboundHeaders } from './outbound/headers'
import { checkResolved, createGuardedLookup, type LookupLike, systemLookup } from './outbound/lookup'
import { createRules } from './outbound/rules'

export type { LookupLike, ResolvedAddress } from './outbound/lookup'

export interface OutboundRequest {
  url: string
  /** GET unless given. CONNECT and TRACE are refused. */
  method?: string
  headers?: Record<string, string>
  body?: string | Uint8Array
  /** Total: name look-up, connection, headers and body. */
  timeoutMs: number
  /** Of the decoded body. */
  maxBytes: number
  /** Its reason becomes the rejection. */
  signal?: AbortSignal
  /** Sent as `Idempotency-Key`, in place of a configured header of that name. */
  idempotencyKey?: string
}

export interface OutboundResponse {
  status: number
  headers: Headers
  /** Decoded (gzip, deflate, br), never more than `maxBytes`. */
  body: Uint8Array
  /** The body as UTF-8. */
  text(): string
}

/** The only way to addresses that tenants set. Errors: `url-not-allowed`, `validation-failed`, `upstream-error`, `upstream-timeout`. */
export interface Outbound {
  /** Checks what can be said without a look-up: scheme, port, form of the host, credentials. For saving a configuration. */
  check(url: string): URL
  /** The same, and whether its host leads to allowed addresses now; the connection itself is held to what it resolves to then. @throws `url-not-allowed` */
  checkResolved(url: string): Promise<URL>
  /**
   * Checks configured headers as `request` will: no line breaks, nothing that belongs to the connection or the framing.
   * Throws `validation-failed` with a pointer for each, below `pointer` (`/headers` unless given).
   */
  checkHeaders(headers: Record<string, string>, pointer?: string): void
  /** A redirect is an error, never followed. Statuses of 400 and above are answers like any other. */
  request(request: OutboundRequest): Promise<OutboundResponse>
  /**
   * The same guard for SDKs: the response body streams under the default size limit and deadline unless others are given, a redirect is returned
   * as it is. A body that is not read keeps its connection until the deadline.
   */
  fetch(input: string | URL | Request, init?: RequestInit, limits?: Partial<FetchLimits>): Promise<Response>
}

export interface FetchLimits {
  /** For the whole exchange, its body included. */
  timeoutMs: number
  /** Of the decoded body. */
  maxBytes: number
}

export interface OutboundOptions {
  /** `host` and `host:port` are reached whatever they resolve to; addresses inside a CIDR range on any port. Empty in production. */
  allow: string[]
  allowedPorts?: number[]
  log: Log
  /** Of `fetch`. */
  defaults: FetchLimits
  /** The system's resolver unless given. */
  lookup?: LookupLike
  /** Authorities (PEM) in place of the system's, for tests. */
  ca?: string
}

interface Call {
  url: string
  method: string
  headers: Iterable<[string, string]>
  body: string | Uint8Array | undefined
  maxBytes: number
  signal: AbortSignal
}

const USER_AGENT = 'EvoAI/1.0'
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Throws on an entry of `allow` that is neither a host nor a range. */
export function createOutbound({ allow, allowedPorts = [80, 443], log, defaults, lookup = systemLookup, ca }: OutboundOptions): Outbound {
  const rules = createRules({ allow, allowedPorts })

  async function open({ url, method, headers, body, maxBytes, signal }: Call): Promise<Received> {
    const target = rules.check(url)
    if (!METHODS.has(method)) throw new DomainError('validation-failed', 'The method is not allowed.')
    const pairs = [...headers]
    checkOutboundHeaders(pairs, '/headers')
    const sent = new Headers(pairs)
    if (!sent.has('user-agent')) sent.set('user-agent', USER_AGENT)
    if (!sent.has('accept-encoding')) sent.set('accept-encoding', 'gzip, deflate, br')
    return exchange({
      url: target,
      method,
      headers: sent,
      body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
      maxBytes,
      signal,
      lookup: createGuardedLookup({ rules, url: target, lookup, signal }),
      ca,
    })
  }

  /** Host and cause for the operator; path and query stay out, they may hold a tenant's secrets. */
  function record(url: string, error: unknown): never {
    if (error instanceof DomainError) {
      const cause = error.cause instanceof Error ? { name: error.cause.name, code: Reflect.get(error.cause, 'code') } : undefined
      log.info('outbound call failed', { host: URL.canParse(url) ? new URL(url).host : '-', problem: error.problem, cause })
    }
    throw error
  }

  return {
    check: rules.check,
    checkResolved: (url) => checkResolved(rules, rules.check(url), lookup),
    checkHeaders: (headers, pointer = '/headers') => checkOutboundHeaders(Object.entries(headers), pointer),

    async request({ url, method = 'GET', headers = {}, body, timeoutMs, maxBytes, signal, idempotencyKey }) {
      const deadline = startDeadline(timeoutMs, signal)
      const key: [string, string][] = idempotencyKey === undefined ? [] : [['Idempotency-Key', idempotencyKey]]
      const configured = Object.entries(headers).filter(([name]) => key.length === 0 || name.toLowerCase() !== 'idempotency-key')
      try {
        const received = await open({ url, method, headers: [...configured, ...key], body, maxBytes, signal: deadline.signal })
        if (isRedirect(received.status)) {
          received.close()
          throw new DomainError('url-not-allowed', 'The remote side answered with a redirect, which is not followed.')
        }
        const bytes = await Array.fromAsync(received.body)
        const whole = Buffer.concat(bytes)
        return { status: received.status, headers: received.headers, body: whole, text: () => whole.toString('utf8') }
      } catch (error) {
        return record(url, error)
      } finally {
        deadline.stop()
      }
    },

    async fetch(input, init, limits) {
      const { timeoutMs, maxBytes } = { ...defaults, ...limits }
      const url = input instanceof Request ? input.url : String(input)
      const deadline = startDeadline(timeoutMs, init?.signal ?? (input instanceof Request ? input.signal : undefined))
      try {
        rules.check(url) // before `new Request`, whose errors may repeat the URL
        const request = toRequest(input, init)
        const { method } = request
        const headers = [...request.headers] // first: reading the body drops the content type that came with it
        const body = request.body === null ? undefined : new Uint8Array(await deadline.bound(request.arrayBuffer()))
        return toResponse(await open({ url, method, headers, body, maxBytes, signal: deadline.signal }), deadline.stop)
      } catch (error) {
        deadline.stop()
        return record(url, error)
      }
    },
  }
}

/** 304 only answers a condition that the caller set. */
const isRedirect = (status: number) => status >= 300 && status < 400 && status !== 304

function toRequest(input: string | URL | Request, init: RequestInit | undefined): Request {
  try {
    return input instanceof Request ? new Request(input, init) : new Request(String(input), init)
  } catch (error) {
    throw new DomainError('validation-failed', 'The request has a header, method or body that is not allowed.', { cause: error })
  }
}

const NULL_BODY = new Set([204, 205, 304])

function toResponse({ status, headers, body, close }: Received, done: () => void): Response {
  const chunks = body[Symbol.asyncIterator]()
  if (NULL_BODY.has(status)) {
    close()
    done()
    return new Response(null, { status, headers })
  }
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done: ended, value } = await chunks.next()
          if (!ended) return controller.enqueue(value)
          done()
          controller.close()
        } catch (error) {
          done()
          controller.error(error)
        }
      },
      cancel() {
        close()
        done()
      },
    },
    { highWaterMark: 0 },
  )
  return new Response(stream, { status, headers })
}
