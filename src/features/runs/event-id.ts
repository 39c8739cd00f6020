import { createHash } from 'node:crypto'

/** The same id for the same event of the same run, however often it is executed (RFC 9562 §5.5, a name-based UUID). */
export function eventIdOf(runId: string, key: string): string {
  const bytes = createHash('sha1')
    .update(Buffer.from(runId.replaceAll('-', ''), 'hex'))
    .update(key)
    .digest()
    .subarray(0, 16)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
