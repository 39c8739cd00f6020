import { type IntegerOptions, Kind, type TSchema, Type, TypeRegistry } from '@sinclair/typebox'
import { type Static, t } from 'elysia'
import { EXTERNAL_ID, EXTERNAL_ID_RULE } from '../external-id'
import type { Position } from '../keyset'
import { MAX_PASSWORD_LENGTH } from '../passwords/bounds'

/** The canonical spelling only: `urn:uuid:` and braces are refused (PostgreSQL would take one and fail on the other). */
export const Uuid = t.String({
  pattern: '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$',
  format: 'uuid',
  error: 'Must be a UUID',
})

/** An id in a body, spelt from here on as PostgreSQL does. Path, query and headers are spelt so before they are checked: see `idSpelling`. */
export const GivenId = t
  .Transform(Uuid)
  .Decode((id) => id.toLowerCase())
  .Encode((id) => id)

/** For the examples in the API document. */
export const SOME_ID = '6b1f0f6e-5d0a-4a2e-9a54-3f8f0b1a7c11'

/** The web frontend sends `""` where it means none. */
export const OptionalId = t.Optional(t.Nullable(t.Union([GivenId, t.Literal('')])))
export const idOrNull = (id: string | null | undefined): string | null => (id === undefined || id === '' ? null : id)

export const ExternalId = t.String({ pattern: EXTERNAL_ID.source, error: EXTERNAL_ID_RULE })

export const Email = t.String({ format: 'email', maxLength: 254, error: 'Must be an email address of at most 254 characters' })

interface Length {
  minLength?: number
  maxLength: number
}
/** Counted as people and JSON Schema do, by code points, where `t.String` counts UTF-16: four emoji are no eight characters, and a hundred are no two hundred. */
export const text = (options: Length & { description?: string; error?: string }) =>
  t.Unsafe<string>({ ...options, [Kind]: 'Text', type: 'string' })
TypeRegistry.Set('Text', ({ minLength = 0, maxLength }: Length, value) => {
  if (typeof value !== 'string' || value.length > 2 * maxLength) return false
  // A code point is one or two units of UTF-16, so most texts need not be counted.
  if (value.length <= maxLength && value.length >= 2 * minLength) return true
  const length = [...value].length
  return length >= minLength && length <= maxLength
})
/** What is wrong with a value that is no such text. */
export function textFault({ minLength = 0, maxLength }: TSchema, value: unknown): string {
  if (typeof value !== 'string') return 'Expected string'
  return `Expected a length of ${minLength === 0 ? 'at most' : `${minLength} to`} ${maxLength} characters`
}

export const passwordOf = (minLength: number, maxLength = MAX_PASSWORD_LENGTH) =>
  text({ error: `Must have ${minLength} to ${maxLength} characters`, minLength, maxLength })
/** A password that is only checked: any length that could ever have been set. */
export const GivenPassword = passwordOf(1)
/** The code of a mail's link, as it was given: of any length, since one that cannot be ours is answered like any other that is none. */
export const LinkCode = text({ maxLength: 16_384 })
/** A date on its way out; JSON makes it ISO 8601 with `Z`. */
export const Timestamp = t.Unsafe<Date | string>({ [Kind]: 'Timestamp', type: 'string', format: 'date-time' })
TypeRegistry.Set('Timestamp', (_schema, value) => value instanceof Date || typeof value === 'string')
/** One of some words. Elysia's own `UnionEnum` makes the first of them the default, so that an absent field passes. */
export const choice = <const T extends string>(words: readonly T[], options: { error?: string; description?: string } = {}) =>
  t.Unsafe<T>({ error: `Must be one of ${words.join(', ')}`, ...options, [Kind]: 'Choice', type: 'string', enum: [...words] })
TypeRegistry.Set('Choice', (schema: { enum: unknown[] }, value) => schema.enum.includes(value))

/** Base64 as in RFC 4648 §4. No pattern: one with groups takes seconds over a file's worth of it, and then gives up and says no. */
export const Base64 = t.Unsafe<string>({
  error: 'Must be base64',
  description: 'Base64.',
  [Kind]: 'Base64',
  type: 'string',
  contentEncoding: 'base64',
})
const NOT_BASE64 = /[^A-Za-z0-9+/]/
TypeRegistry.Set('Base64', (_schema, value) => {
  if (typeof value !== 'string' || value.length % 4 !== 0) return false
  const end = value.search(NOT_BASE64)
  return end === -1 || (end >= value.length - 2 && /^={1,2}$/.test(value.slice(end)))
})

/**
 * The answer of a hot list: described in the API document, not checked again for each of up to a thousand items at run time. Its type still is.
 */
export const described = <S extends TSchema>(schema: S) => t.Unsafe<Static<S>>({ ...schema, [Kind]: 'Described' })
TypeRegistry.Set('Described', () => true)

export const Name = text({ minLength: 1, maxLength: 200 })

/** A file of a form, read as text: the API document shows a form in place of JSON. */
export const FormFile = t.Unsafe<{ name: string; text: string }>({
  error: 'Must be a file of a multipart/form-data body',
  [Kind]: 'FormFile',
  type: 'string',
  format: 'binary',
})
TypeRegistry.Set('FormFile', (_schema, value) => typeof value === 'object' && value !== null && 'name' in value && 'text' in value)

/** A number in JSON. Elysia's own `t.Integer` also lets texts through, `"1e0"` among them, and of a number out of range says only that it is no union. */
export const integer = (options: IntegerOptions) => Type.Integer(options)

/** Decimal digits only: Elysia's own numbers also take `0x10`, `1e2` and ` 5`. The API document shows an integer. */
const digits = (pattern: string, shown: { minimum: number; maximum: number; default: number }) =>
  t.Optional(t.String({ pattern, error: `Must be a whole number from ${shown.minimum} to ${shown.maximum}`, 'x-integer': shown }))

/** `skip` and `limit` of a list. Read them with `pageOf`. */
export const PageQuery = {
  skip: digits('^(?:0|[1-9][0-9]{0,8})$', { minimum: 0, maximum: 999_999_999, default: 0 }),
  limit: digits('^(?:[1-9][0-9]{0,2}|1000)$', { minimum: 1, maximum: 1000, default: 100 }),
}

export interface Page {
  skip: number
  limit: number
  /** From a cursor, which counts instead of `skip`. */
  after?: Position | undefined
}

export const pageOf = ({ skip, limit }: { skip?: string; limit?: string }): Page => ({
  skip: Number(skip ?? 0),
  limit: Number(limit ?? 100),
})

export const Message = t.Object({ message: t.String() })
export type Message = Static<typeof Message>
