import { Elysia } from 'elysia'
import { DomainError, type FieldError } from '../errors'
import { bodyLimit, type GateOptions, tooLarge } from './gate'
import { pathOf } from './problems'

/** Levels of arrays and objects in a body. */
const MAX_DEPTH = 32

/** Reads every body in place of Elysia's parsers: JSON only, bounded, valid UTF-8, free of what no field may hold. */
export const jsonBody = (limits: Pick<GateOptions, 'maxBodyBytes' | 'uploads'>) =>
  new Elysia({ name: 'json-body' }).onParse({ as: 'global' }, async ({ request }, contentType) => {
    if (request.body === null || request.headers.get('content-length') === '0') return undefined
    if (contentType !== 'application/json') {
      // A body that the route has no use for and that is empty after all (a chunked nothing) is no fault.
      throw new DomainError('unsupported-media-type', 'Send the body as application/json.', { headers: { accept: 'application/json' } })
    }
    return parseJson(await readBytes(request, bodyLimit(limits, pathOf(request.url))))
  })

/** At most `maxBytes` are read, whatever the declared length. */
export async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  // Bun holds a declared body to its declared length, which the gate has checked.
  if (request.headers.get('content-length') !== null) return new Uint8Array(await request.arrayBuffer())
  const chunks: Uint8Array[] = []
  let total = 0
  for await (const chunk of request.body ?? []) {
    total += chunk.byteLength
    if (total > maxBytes) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, total)
}

/**
 * @throws DomainError `malformed-request` for what is not JSON in UTF-8, `validation-failed` for nesting over 32 levels, control characters
 * (tab and line breaks excepted), lone surrogates and the keys that reach an object's prototype.
 */
export function parseJson(bytes: Uint8Array): unknown {
  let text: string
  let value: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new DomainError('malformed-request', 'The body is not valid UTF-8.', { cause })
  }
  if (nesting(text) > MAX_DEPTH) throw refused([{ pointer: '', code: 'depth', message: `Nested more than ${MAX_DEPTH} levels deep.` }])
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new DomainError('malformed-request', 'The body is not valid JSON.', { cause })
  }
  const errors: FieldError[] = []
  inspect(value, '', errors)
  if (errors.length > 0) throw refused(errors)
  return value
}

const refused = (errors: FieldError[]) =>
  new DomainError('validation-failed', errors[0]?.message ?? 'Invalid body.', { errors: errors.slice(0, 20) })

/** Deepest level of brackets outside strings; counted before parsing, so that the parser's own stack is never in danger. */
function nesting(text: string): number {
  let depth = 0
  let deepest = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (quoted) {
      if (code === BACKSLASH) i++
      else if (code === QUOTE) quoted = false
    } else if (code === QUOTE) quoted = true
    else if (code === BRACKET || code === BRACE) {
      depth++
      if (depth > deepest) deepest = depth
    } else if (code === BRACKET + 2 || code === BRACE + 2) depth--
  }
  return deepest
}
const QUOTE = 0x22
const BACKSLASH = 0x5c
const BRACKET = 0x5b
const BRACE = 0x7b

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/

function inspect(value: unknown, pointer: string, errors: FieldError[]) {
  if (typeof value === 'string') {
    if (CONTROL.test(value)) errors.push({ pointer, code: 'control-character', message: 'Control characters are not allowed.' })
    else if (!value.isWellFormed()) errors.push({ pointer, code: 'lone-surrogate', message: 'The text is not valid Unicode.' })
    return
  }
  if (value === null || typeof value !== 'object' || errors.length > 20) return
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) inspect(value[i], `${pointer}/${i}`, errors)
    return
  }
  for (const [key, item] of Object.entries(value)) {
    const at = `${pointer}/${key.slice(0, 100).replaceAll('~', '~0').replaceAll('/', '~1')}`
    if (key === '__proto__' || (key === 'constructor' && item !== null && typeof item === 'object' && 'prototype' in item)) {
      errors.push({ pointer: at, code: 'reserved-name', message: 'This name is not allowed.' })
    } else if (CONTROL.test(key) || !key.isWellFormed()) {
      errors.push({ pointer, code: 'control-character', message: 'A name holds characters that are not allowed.' })
    } else inspect(item, at, errors)
  }
}
