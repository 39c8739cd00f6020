import { Elysia } from 'elysia'
import { DomainError, type FieldError, pointerPart } from '../errors'
import { SMALL_BYTES } from '../room'
import { type BodyLimits, tooLarge } from './body-limit'
import { hasControl } from './control-characters'
import { parseForm } from './form-body'
import { type BodyRooms, holdBody, letBodyGo } from './held-body'
import { originOf } from './origin'
import { RAW_ROUTES } from './raw-body'

/** Levels of arrays and objects in a body. */
const MAX_DEPTH = 32
const MAX_ERRORS = 20

export interface JsonBodyOptions extends Pick<BodyLimits, 'maxBodyBytes'> {
  /** Asked before more than `maxBodyBytes` are read, since bodies come before sessions: throws for callers that nobody knows, and says whose body it is. */
  mayUpload(request: Request, params: Record<string, string | undefined>): Promise<string>
  rooms: BodyRooms
  /** Routes that also take `multipart/form-data`. */
  forms?: ReadonlySet<string>
}

/**
 * Reads every body in place of Elysia's parsers: JSON only, bounded, valid UTF-8, free of what no field may hold.
 * What it throws reaches the error hook as the cause of a ParseError.
 */
export const jsonBody = (options: JsonBodyOptions) =>
  new Elysia({ name: 'json-body' })
    .onParse({ as: 'global' }, async ({ request, params, route, set }, mediaType) => {
      // Null and not undefined where there is no body: undefined would let Elysia's own parsers have a try.
      if (request.body === null) return null
      const isForm = options.forms?.has(route) === true && mediaType === 'multipart/form-data'
      const parse = (bytes: Uint8Array): unknown => {
        if (isForm) return parseForm(bytes, request.headers.get('content-type') ?? mediaType)
        checkType(request, mediaType)
        return parseJson(bytes)
      }
      // Where nobody reads the body, it is not waited for either.
      const declared = request.headers.get('content-length')
      const read = () => (declared === null ? readUndeclared(request, options) : readDeclared(request, Number(declared), options))
      if (RAW_ROUTES.has(route)) return read()
      const isLarge = Number(declared) > options.maxBodyBytes
      if (route === '/*' || isLarge) set.headers.connection = 'close'
      if (route === '/*' || declared === '0') return null
      if (declared === null) {
        const bytes = await read()
        if (bytes.length === 0) return null
        return parse(bytes)
      }
      if (!isForm) checkType(request, mediaType)
      if (!isLarge) return parse(await read())
      const holder = await options.mayUpload(request, params)
      await holdBody(request, options.rooms.large, { holder, bytes: Number(declared) })
      return parse(await readInPlace(request, Number(declared)))
    })
    .onAfterResponse({ as: 'global' }, ({ request }) => letBodyGo(request))

type Ordinary = Pick<JsonBodyOptions, 'maxBodyBytes' | 'rooms'>

/** The target check has held the declared length to the route's limit, and Bun holds the body to the declared length. */
async function readDeclared(request: Request, bytes: number, { rooms }: Ordinary): Promise<Uint8Array> {
  await holdBody(request, rooms.ordinary, { holder: originOf(request).address, bytes })
  return request.bytes()
}

/** Into one piece of memory from the start: Bun's own reader has it grow, and holds up to twice as much. */
async function readInPlace(request: Request, declaredBytes: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(declaredBytes)
  let at = 0
  for await (const chunk of request.body ?? []) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return bytes.subarray(0, at)
}

/** Of a body that does not say how long it is, `maxBodyBytes` are kept and no more, also where files are welcome. */
async function readUndeclared(request: Request, { maxBodyBytes, rooms }: Ordinary): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let total = 0
  for await (const chunk of request.body ?? []) {
    const before = total
    total += chunk.byteLength
    if (total > maxBodyBytes) throw tooLarge('The body is larger than this route takes without a Content-Length.')
    if (before <= SMALL_BYTES && total > SMALL_BYTES)
      await holdBody(request, rooms.ordinary, { holder: originOf(request).address, bytes: maxBodyBytes })
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, total)
}

function checkType(request: Request, mediaType: string) {
  if (mediaType !== 'application/json' && mediaType.trim().toLowerCase() !== 'application/json')
    throw new DomainError('unsupported-media-type', 'Send the body as application/json.', { headers: { accept: 'application/json' } })
  const encoding = request.headers.get('content-encoding')
  if (encoding !== null && encoding.toLowerCase() !== 'identity')
    throw new DomainError('unsupported-media-type', 'Send the body without a content encoding.', {
      headers: { 'accept-encoding': 'identity' },
    })
}

/**
 * @throws DomainError `malformed-request` for what is not JSON in UTF-8, `validation-failed` for nesting over 32 levels, control characters
 * (tab and line breaks excepted), lone surrogates and the names that objects have a use for themselves.
 */
export function parseJson(bytes: Uint8Array): unknown {
  let text: string
  try {
    text = UTF8.decode(bytes)
  } catch (cause) {
    throw new DomainError('malformed-request', 'The body is not valid UTF-8.', { cause })
  }
  return parseJsonText(text)
}

/** The same for a text that is Unicode already, such as a WebSocket's frame. */
export function parseJsonText(text: string): unknown {
  let value: unknown
  if (isTooDeep(text)) throw refused([{ pointer: '', code: 'depth', message: `Nested more than ${MAX_DEPTH} levels deep.` }])
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new DomainError('malformed-request', 'The body is not valid JSON.', { cause })
  }
  if (SUSPICIOUS.test(text)) {
    const errors: FieldError[] = []
    inspect(value, [], errors)
    if (errors.length > 0) throw refused(errors)
  }
  return value
}

const UTF8 = new TextDecoder('utf-8', { fatal: true })

const refused = (errors: FieldError[]) => new DomainError('validation-failed', errors[0]?.message ?? 'Invalid body.', { errors })

/** Whether brackets outside strings nest too deep; looked at before parsing, so that the parser's own stack is never in danger. */
function isTooDeep(text: string): boolean {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === QUOTE) {
      i = endOfString(text, i)
      if (i === -1) return false
    } else if (code === BRACKET || code === BRACE) {
      if (++depth > MAX_DEPTH) return true
    } else if (code === BRACKET + 2 || code === BRACE + 2) depth--
  }
  return false
}

/** Where the string that begins at `start` has its closing quote, or -1. Leaps from quote to quote: a file is one long string. */
function endOfString(text: string, start: number): number {
  let end = start
  let escapes: number
  do {
    end = text.indexOf('"', end + 1)
    escapes = 0
    while (text.charCodeAt(end - 1 - escapes) === BACKSLASH) escapes++
  } while (end !== -1 && escapes % 2 === 1)
  return end
}
const QUOTE = 0x22
const BACKSLASH = 0x5c
const BRACKET = 0x5b
const BRACE = 0x7b

/**
 * Without one of these in its text no value can be at fault: JSON has control characters and lone surrogates escaped, all but DEL and those behind it.
 * An escaped letter may be one of a reserved name.
 */
const SUSPICIOUS = /\\(?:[bf]|u00[014-9]|u[dD][89a-fA-F])|[\u007f-\u009f]|__proto__|constructor|toString/
/** `toString` reaches nothing, but an object that has a text there breaks whoever puts it into a message; Elysia's own errors do. */
const RESERVED = new Set(['__proto__', 'toString'])

/** @param path to `value`; kept as a list, since hardly any value needs its pointer. */
function inspect(value: unknown, path: (string | number)[], errors: FieldError[]) {
  if (typeof value === 'string') {
    if (hasControl(value)) errors.push(fault(path, 'control-character', 'Control characters are not allowed.'))
    else if (!value.isWellFormed()) errors.push(fault(path, 'lone-surrogate', 'The text is not valid Unicode.'))
  } else if (Array.isArray(value)) {
    for (let i = 0; i < value.length && errors.length < MAX_ERRORS; i++) inspectItem(i, value[i], path, errors)
  } else if (value !== null && typeof value === 'object') {
    for (const [name, item] of Object.entries(value)) {
      if (errors.length >= MAX_ERRORS) return
      if (hasControl(name) || !name.isWellFormed())
        errors.push(fault(path, 'control-character', 'A name holds characters that are not allowed.'))
      else if (isReserved(name, item)) errors.push(fault([...path, name], 'reserved-name', 'This name is not allowed.'))
      else inspectItem(name, item, path, errors)
    }
  }
}

function inspectItem(name: string | number, item: unknown, path: (string | number)[], errors: FieldError[]) {
  if (typeof item !== 'string' && typeof item !== 'object') return
  path.push(name)
  inspect(item, path, errors)
  path.pop()
}

const isReserved = (name: string, item: unknown) =>
  RESERVED.has(name) || (name === 'constructor' && item !== null && typeof item === 'object' && 'prototype' in item)

const fault = (path: (string | number)[], code: string, message: string): FieldError => ({ pointer: pointerTo(path), code, message })

const pointerTo = (path: (string | number)[]) => path.map((name) => `/${pointerPart(String(name), 100)}`).join('')
