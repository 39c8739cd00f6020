import { randomBytes } from 'node:crypto'
import type { Origin } from '../principal'

const origins = new WeakMap<Request, Origin>()
/** https://www.w3.org/TR/trace-context/#traceparent-header */
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/
const NO_TRACE = '0'.repeat(32)

/** Where a request came from. The gate sets it before routing; a request that did not pass it (a test's) gets one on the spot. */
export function originOf(request: Request): Origin {
  const known = origins.get(request)
  if (known !== undefined) return known
  return setOrigin(request, '-')
}

export function setOrigin(request: Request, address: string): Origin {
  const parent = request.headers.get('traceparent')?.match(TRACEPARENT)?.[1]
  const origin: Origin = {
    traceId: parent !== undefined && parent !== NO_TRACE ? parent : newTraceId(),
    address,
    userAgent: request.headers.get('user-agent')?.slice(0, 400) ?? null,
  }
  origins.set(request, origin)
  return origin
}

// Random bytes are drawn in bulk: one system call serves many requests.
let pool = randomBytes(4096).toString('hex')
let used = 0

export function newTraceId(): string {
  if (used + 32 > pool.length) {
    pool = randomBytes(4096).toString('hex')
    used = 0
  }
  used += 32
  return pool.slice(used - 32, used)
}
