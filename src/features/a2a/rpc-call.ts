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
