import { type KeyObject, verify } from 'node:crypto'

export interface Signed {
  /** The request's bytes as they came: a parsed and rewritten body does not fit any more (HOOK-02). */
  body: Uint8Array
  signature: string | null
  timestamp: string | null
}

/** Ten digits, no more and no fewer: else one could wander from the timestamp to the body, and both would still be signed as one. */
const TIMESTAMP = /^\d{10}$/
const BASE64 = /^[A-Za-z0-9+/]{40,160}={0,2}$/

/** Whether SendGrid signed just these bytes at just this time (ECDSA with SHA-256 over timestamp and body). */
export function isSigned(key: KeyObject, { body, signature, timestamp }: Signed): boolean {
  if (signature === null || timestamp === null || !TIMESTAMP.test(timestamp) || !BASE64.test(signature)) return false
  return verify('sha256', Buffer.concat([Buffer.from(timestamp), body]), key, Buffer.from(signature, 'base64'))
}
