import { Ajv, type ValidateFunction } from 'ajv'
import { DomainError } from '~/platform/errors'
import { compilePattern } from './safe-pattern'
import { parseJson } from './tools/parse-json'

/** A JSON Schema that an agent's last word must fit. */
export interface OutputSchema {
  schema: Record<string, unknown>
  validate: ValidateFunction
}

const MAX_SCHEMA_BYTES = 65_536

/** @throws DomainError `validation-failed` for what is no schema */
export function compileOutputSchema(schema: Record<string, unknown>): OutputSchema {
  const refused = (message: string) =>
    new DomainError('validation-failed', `output_schema: ${message}`, {
      errors: [{ pointer: '/config/output_schema', code: 'invalid', message }],
    })
  if (JSON.stringify(schema).length > MAX_SCHEMA_BYTES) throw refused('larger than 64 KiB')
  try {
    // A fresh instance each time: it keeps what it has compiled, and a schema's `$id` may be anybody's.
    const ajv = new Ajv({ strict: false, validateFormats: false, code: { regExp: patternEngine } })
    return { schema, validate: ajv.compile(schema) }
  } catch (error) {
    throw refused(error instanceof Error ? error.message.slice(0, 300) : 'no JSON Schema')
  }
}

/** The value of the model's text: JSON, also within a code fence. */
export function checkOutput({ validate }: OutputSchema, text: string): { value: unknown } | { fault: string } {
  const value = parseJson(/^\s*```(?:json)?\s*\n([\s\S]*?)\n\s*```\s*$/.exec(text)?.[1] ?? text)
  if (value === undefined) return { fault: 'it is no JSON' }
  if (validate(value)) return { value }
  const [first] = validate.errors ?? []
  return { fault: `${first?.instancePath || 'the whole'} ${first?.message ?? 'does not fit'}`.slice(0, 300) }
}

export const adviceOnSchema = ({ schema }: OutputSchema) =>
  `Your last answer must be nothing but JSON that fits this JSON Schema:\n${JSON.stringify(schema)}`

/** A tenant's patterns run in linear time. */
const patternEngine = Object.assign((pattern: string) => compilePattern(pattern), { code: 'new RegExp' })
