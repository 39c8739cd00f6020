import { createHash } from 'node:crypto'
import { invalid } from '../errors'
import type { Actor } from '../principal'
import { pathOf } from './problems'

/** Visible ASCII, as draft-ietf-httpapi-idempotency-key-header has it; quotes around it are part of the key. */
const KEY = /^[\x21-\x7e]{1,255}$/

/** The caller together with the request's `Idempotency-Key`, if it has one: what `write` then does is done once. */
export function idempotent<A extends Actor>(actor: A, request: Request, body: unknown): A {
  const key = request.headers.get('idempotency-key')
  if (key === null) return actor
  if (!KEY.test(key)) throw invalid('/header/idempotency-key', 'format', 'The Idempotency-Key must be 1 to 255 visible ASCII characters')
  const fingerprint = createHash('sha256')
    .update(JSON.stringify(body ?? null))
    .digest('hex')
  return { ...actor, idempotency: { key, route: `${request.method} ${pathOf(request.url).replace(/\/$/, '')}`, fingerprint } }
}
