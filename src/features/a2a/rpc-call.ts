import type { DomainError } from '~/platform/errors'

/** A request of JSON-RPC 2.0 (section 4), of whatever method and dialect. */
export interface RpcCall {
  [member: string]: unknown
  method: string
  id?: string | number | null
}

export const isCall = (body: Record<string, unknown>): body is RpcCall =>
  body.jsonrpc === '2.0' && typeof body.method === 'string' && isId(body.id ?? null)

const isId = (id: unknown): id is string | number | null => id === null || typeof id === 'string' || Number.isInteger(id)

/** The answer to it, which names the request as far as that can be told. */
export const invalidRequest = ({ id = null }: Record<string, unknown>) => ({
  jsonrpc: '2.0' as const,
  id: isId(id) ? id : null,
  error: { code: -32600, message: 'Invalid Request: jsonrpc must be "2.0", method a string, and id a string or a whole number' },
})

const ENDPOINT = /^\/api\/v1\/a2a\/[^/]+\/?$/

/**
 * What makes a problem of the endpoint a response of JSON-RPC too, so that its clients can tell what happened without knowing problems. Undefined for what is
 * settled before the protocol begins: who calls, and whom.
 */
export function rpcError({ problem, message }: DomainError, { method, path, body }: { method: string; path: string; body: unknown }) {
  const code = CODES[problem]
  if (code === undefined || method !== 'POST' || !ENDPOINT.test(path)) return undefined
  const { id = null } = (body ?? {}) as Record<string, unknown>
  return { jsonrpc: '2.0' as const, id: isId(id) ? id : null, error: { code, message } }
}

/** Section 5.1 of JSON-RPC, and -32005 of A2A. */
const CODES: Partial<Record<DomainError['problem'], number>> = {
  'malformed-request': -32700,
  'validation-failed': -32600,
  'payload-too-large': -32600,
  'unsupported-media-type': -32005,
  'rate-limited': -32603,
  'limit-exceeded': -32603,
  'budget-exhausted': -32603,
  'upstream-error': -32603,
  'upstream-timeout': -32603,
  overloaded: -32603,
  'dependency-unavailable': -32603,
  'secret-unavailable': -32603,
  internal: -32603,
}
