import type { Schema } from './openapi'
import { mapSubschemas } from './schemas'

/** Collects the schemas that have a `title`; each then stands once among the components, and `refer` gives a reference in its place. */
export function createModels() {
  const schemas: Record<string, Schema> = {}

  /** @throws Error when two different schemas share a title */
  const refer = (schema: Schema): Schema => {
    const inner = mapSubschemas(schema, refer)
    if (typeof inner.title !== 'string') return inner
    const name = inner.title.replaceAll(/[^A-Za-z0-9._-]/g, '')
    const { model, nullable } = withoutNull(inner)
    const known = schemas[name]
    if (known !== undefined && !Bun.deepEquals(known, model)) throw new Error(`Two different schemas have the title ${inner.title}.`)
    schemas[name] = model
    const reference = { $ref: `#/components/schemas/${name}` }
    return nullable ? { anyOf: [reference, { type: 'null' }] } : reference
  }

  return { schemas, refer }
}

function withoutNull(schema: Schema): { model: Schema; nullable: boolean } {
  if (!Array.isArray(schema.type) || !schema.type.includes('null')) return { model: schema, nullable: false }
  const [type = 'object', ...more] = schema.type.filter((name) => name !== 'null')
  return { model: { ...schema, type: more.length === 0 ? type : [type, ...more] }, nullable: true }
}
