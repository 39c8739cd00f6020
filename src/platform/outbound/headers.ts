import { DomainError, type FieldError, sentenceOf } from '../errors'

/** They belong to the connection or to the framing of the message, which are ours (RFC 9110 §7.6.1). */
const RESERVED = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'http2-settings',
])
const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]{1,128}$/i
const MAX_HEADERS = 100
const MAX_VALUE_LENGTH = 8192
const MAX_TOTAL_LENGTH = 16_384

/**
 * Headers that a tenant configured, when they are saved and again when they are sent.
 * The errors repeat a name only when it is a proper one, and a value never.
 */
export function checkOutboundHeaders(pairs: [string, string][], pointer: string): void {
  const errors = pairs.flatMap((pair) => fault(pair, pointer) ?? [])
  const length = pairs.reduce((total, [name, value]) => total + name.length + value.length, 0)
  if (pairs.length > MAX_HEADERS || length > MAX_TOTAL_LENGTH)
    errors.push({ pointer, code: 'too-large', message: 'Too many or too long headers' })
  const [first] = errors
  if (first !== undefined) throw new DomainError('validation-failed', sentenceOf(first), { errors: errors.slice(0, MAX_HEADERS) })
}

function fault([name, value]: [string, string], pointer: string): FieldError | undefined {
  if (!TOKEN.test(name)) return { pointer, code: 'invalid-name', message: 'A header name has a character that is not allowed' }
  const at = `${pointer}/${name.replaceAll('~', '~0')}`
  if (RESERVED.has(name.toLowerCase())) return { pointer: at, code: 'reserved', message: 'This header is set by the server' }
  if (value.length > MAX_VALUE_LENGTH) return { pointer: at, code: 'too-large', message: 'The value is too long' }
  if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value))
    return { pointer: at, code: 'invalid-value', message: 'The value has a character that is not allowed' }
}
