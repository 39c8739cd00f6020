import { Kind, type TSchema } from '@sinclair/typebox'
import { type ValueError, ValueErrorType } from '@sinclair/typebox/value'
import { ABSENT, type FieldError } from '../errors'
import { textFault } from './schema'

const MAX_FIELD_ERRORS = 20
/** The names of unknown properties are the caller's, and may be of any length. */
const MAX_POINTER = 200

/** Path and rule alone, the first for each path: `value`, `found` and `summary` repeat what was sent, which may be a password. */
export function toFieldErrors(faults: Iterable<ValueError>, place = ''): FieldError[] {
  const errors: FieldError[] = []
  for (const { path, message, schema, value, type } of withinNullable(faults)) {
    if (errors.length >= MAX_FIELD_ERRORS) break
    const pointer = `${place}${path}`.slice(0, MAX_POINTER)
    if (errors.some((known) => known.pointer === pointer)) continue
    if (type === ValueErrorType.ObjectRequiredProperty) {
      errors.push({ pointer, ...ABSENT })
      continue
    }
    const said = schema[Kind] === 'Text' || LENGTH_FAULTS.has(type) ? textFault(schema, value) : message
    const text = typeof schema.error === 'string' ? schema.error : said
    errors.push({ pointer, code: codeOf(text), message: text })
  }
  return errors
}

const LENGTH_FAULTS = new Set([ValueErrorType.StringMinLength, ValueErrorType.StringMaxLength])

/** What may be null or an empty text and is neither has faults of its own; that it fits no member of the union says nothing. */
function* withinNullable(faults: Iterable<ValueError>): Generator<ValueError> {
  for (const fault of faults) {
    const members: TSchema[] = fault.schema.error === undefined ? (fault.schema.anyOf ?? []) : []
    const meant = [...members.keys()].filter((index) => !isNone(members[index]))
    const [within] = meant.length === 1 ? meant.map((index) => fault.errors[index]) : []
    if (within === undefined) yield fault
    else yield* withinNullable(within)
  }
}

const isNone = (member: TSchema | undefined) => member?.type === 'null' || member?.const === ''

function codeOf(message: string): string {
  if (/unexpected property/i.test(message)) return 'unknown-property'
  if (/length/i.test(message)) return 'length'
  if (/pattern|format/i.test(message)) return 'format'
  if (/union|equal to|one of/i.test(message)) return 'choice'
  return 'invalid'
}
