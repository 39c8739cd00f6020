import { type TObject, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { HttpToolSpec } from './http-tool-spec'

/** The arguments and defaults of one call: all that headers, path, query and body are filled from. */
export type ToolValues = ReadonlyMap<string, unknown>

/**
 * What the model may give. Defaults are named nowhere, they may be secrets; what has one is optional.
 * A query parameter that is a list is a constant and no argument.
 */
export function describeInput({ parameters, values }: HttpToolSpec): TObject {
  const properties = new Map<string, TSchema>()
  const optional = (name: string, schema: TSchema, required: boolean) =>
    properties.set(name, required && !hasDefault(values, name) ? schema : Type.Optional(schema))
  for (const [name, value] of Object.entries(parameters?.query_params ?? {}))
    if (!Array.isArray(value)) optional(name, Type.String({ description: 'Query parameter' }), false)
  for (const [name, { type, required, description }] of Object.entries(parameters?.body_params ?? {}))
    optional(name, typeSchema(type, description), required === true)
  for (const [name, description] of Object.entries(parameters?.path_params ?? {}))
    optional(name, Type.String({ minLength: 1, ...(description ? { description } : {}) }), true)
  return Type.Object(Object.fromEntries(properties), { additionalProperties: false })
}

export type ReadInput = { values: ToolValues } | { fault: string }

/** Defaults overlaid by the arguments. `fault` names parameter and rule, never a value. */
export function readInput({ parameters, values }: HttpToolSpec, schema: TObject, args: Record<string, unknown>): ReadInput {
  const given = Object.entries(args).flatMap(([name, value]) => {
    if (value === null || value === undefined) return [] // how many models leave out an optional argument
    const isText = Object.hasOwn(schema.properties, name) && schema.properties[name]?.type === 'string'
    return [[name, isText && (typeof value === 'number' || typeof value === 'boolean') ? String(value) : value] as const]
  })
  const fault = Value.Errors(schema, Object.fromEntries(given)).First()
  if (fault) return { fault: `${fault.path === '' ? 'The arguments' : fault.path.slice(1)}: ${fault.message}` }
  const body = parameters?.body_params ?? {}
  const defaults = Object.entries(values ?? {})
    .filter(([, value]) => value !== null)
    .map(([name, value]) => [name, Object.hasOwn(body, name) ? asType(body[name]?.type, value) : value] as const)
  return { values: new Map<string, unknown>([...defaults, ...given]) }
}

const hasDefault = (values: HttpToolSpec['values'], name: string) =>
  Object.hasOwn(values ?? {}, name) && values?.[name] !== null && values?.[name] !== ''

function typeSchema(type: string | null | undefined, description: string | null | undefined): TSchema {
  const options = description ? { description } : {}
  switch (type) {
    case 'string':
    case 'str':
      return Type.String(options)
    case 'number':
    case 'float':
      return Type.Number(options)
    case 'integer':
    case 'int':
      return Type.Integer(options)
    case 'boolean':
    case 'bool':
      return Type.Boolean(options)
    case 'array':
    case 'list':
      return Type.Array(Type.Unknown(), options)
    case 'object':
    case 'dict':
      return Type.Object({}, { ...options, additionalProperties: true })
    default:
      return Type.Unknown(options)
  }
}

/** Defaults are written as text: one that reads as the declared type is sent as that type. */
function asType(type: string | null | undefined, value: unknown): unknown {
  const schema = typeSchema(type, null)
  const converted = typeof value === 'string' && schema.type !== 'string' && schema.type !== undefined ? parsed(value) : value
  return Value.Check(schema, converted) ? converted : value
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text // not JSON: stays the text that it is
  }
}
