import type { Operation, Response, Schema } from './openapi'
import { isReference } from './openapi'

/**
 * A TypeBox schema as OpenAPI should show it: our own keywords gone, digit strings as the integers they stand for, unions of words as `enum`,
 * `null` inside `type`. What may be added to an answer later is left open: only request bodies are closed, see `closed`.
 */
export function tidySchema(schema: Schema): Schema {
  const { error: _error, nullable: _nullable, 'x-integer': integer, ...kept } = schema
  if (isRecord(integer)) {
    const { pattern: _pattern, ...rest } = kept
    return { ...rest, type: 'integer', ...integer }
  }
  const tidy = withNull(openRecord(mapSubschemas(kept, tidySchema)))
  if (tidy.additionalProperties === false) delete tidy.additionalProperties
  // The format says it, and a tool that makes up a value has one for it.
  if (tidy.format === 'uuid') delete tidy.pattern
  return tidy.anyOf === undefined ? tidy : union(tidy, tidy.anyOf)
}

/** Unknown properties of a request body are refused (at its top level), and the document says so. */
export const closed = (schema: Schema): Schema =>
  schema.type === 'object' && schema.additionalProperties === undefined ? { ...schema, additionalProperties: false } : schema

/** `t.Record(t.String(), …)`. */
function openRecord(schema: Schema): Schema {
  const { patternProperties, ...rest } = schema
  if (!isRecord(patternProperties) || !('^(.*)$' in patternProperties) || Object.keys(patternProperties).length > 1) return schema
  return { ...rest, additionalProperties: patternProperties['^(.*)$'] }
}

/** The plugin adds `null` to `type` alone, which `enum` and `const` then contradict. */
function withNull(schema: Schema): Schema {
  if (!Array.isArray(schema.type) || !schema.type.includes('null')) return schema
  if (schema.enum !== undefined) return schema.enum.includes(null) ? schema : { ...schema, enum: [...schema.enum, null] }
  if (schema.const === undefined) return schema
  const { const: only, ...rest } = schema
  return { ...rest, enum: [only, null] }
}

function union({ anyOf: _, ...siblings }: Schema, members: Schema[]): Schema {
  const flat = members
    .flatMap((member) => (member.anyOf !== undefined && Object.keys(member).length === 1 ? member.anyOf : [member]))
    .filter((member) => !isCoerced(member))
  const words = flat.filter(isWord)
  const nullable = flat.some(isNull)
  const others = flat.filter((member) => !isWord(member) && !isNull(member))
  if (words.length === 1) others.push(...words)
  if (words.length > 1) others.push({ type: 'string', enum: words.map((word) => word.const) })
  const [only] = others
  if (only === undefined) return { ...siblings, type: 'null' }
  if (others.length === 1 && !nullable) return { ...only, ...siblings }
  if (others.length === 1 && typeof only.type === 'string') return withNull({ ...only, ...siblings, type: [only.type, 'null'] })
  return { ...siblings, anyOf: nullable ? [...others, { type: 'null' }] : others }
}

const isWord = (schema: Schema) => typeof schema.const === 'string' && Object.keys(schema).every((key) => key === 'const' || key === 'type')
/** What Elysia's own `t.Integer`, `t.BooleanString` and the like add to themselves, for values that come as text. */
const isCoerced = (schema: Schema) => schema.type === 'string' && COERCIONS.includes(String(schema.format))
const COERCIONS = ['integer', 'numeric', 'boolean', 'ObjectString', 'ArrayString']
const isNull = (schema: Schema) => schema.type === 'null' && Object.keys(schema).length === 1

const MAPS = ['properties', 'patternProperties', '$defs']
const LISTS = ['anyOf', 'oneOf', 'allOf', 'prefixItems']
const SINGLE = ['items', 'additionalProperties', 'not', 'contains', 'propertyNames']

/** A copy with `change` applied to each schema directly inside. A property that is called `items` or `title` is not taken for a keyword. */
export function mapSubschemas(schema: Schema, change: (schema: Schema) => Schema): Schema {
  return mapValues(schema, (value, key) => {
    if (isRecord(value) && MAPS.includes(key)) return mapValues(value, (inner) => change(inner as Schema))
    if (Array.isArray(value) && LISTS.includes(key)) return value.map(change)
    return isRecord(value) && SINGLE.includes(key) ? change(value) : value
  })
}

/** A copy with `change` applied to the schema of each parameter, body, answer and header. */
export function mapOperationSchemas(operation: Operation, change: (schema: Schema) => Schema): Operation {
  const { parameters, requestBody, responses } = operation
  return {
    ...operation,
    ...(parameters && { parameters: parameters.map((parameter) => (isReference(parameter) ? parameter : inside(parameter, change))) }),
    ...(requestBody && { requestBody: { ...requestBody, content: mapValues(requestBody.content, (media) => inside(media, change)) } }),
    responses: mapValues(responses, (response) => (isReference(response) ? response : mapResponseSchemas(response, change))),
  }
}

export function mapResponseSchemas(response: Response, change: (schema: Schema) => Schema): Response {
  const { headers, content } = response
  return {
    ...response,
    ...(headers && { headers: mapValues(headers, (header) => inside(header, change)) }),
    ...(content && { content: mapValues(content, (media) => inside(media, change)) }),
  }
}

const inside = <T extends { schema: Schema }>(holder: T, change: (schema: Schema) => Schema): T => ({
  ...holder,
  schema: change(holder.schema),
})

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

export const mapValues = <V>(record: Record<string, V>, change: (value: V, key: string) => V): Record<string, V> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value, key)]))
