import { Elysia } from 'elysia'

/**
 * RFC 9562 lets an id be written in either case. Before anything reads them, the ids in path, query and `x-client-id` are spelt as PostgreSQL does,
 * because secrets are bound to them, and keys of Redis, caches and comparisons hold them as texts. A body's are read by `GivenId`.
 * A hook instead of a schema that transforms: that would copy the headers and parameters of each request.
 */
export const idSpelling = () =>
  new Elysia({ name: 'id-spelling' })
    .onRequest(({ request: { headers } }) => {
      const client = headers.get('x-client-id')
      if (client !== null && UPPER_CASE.test(client)) headers.set('x-client-id', client.toLowerCase())
    })
    .onTransform({ as: 'global' }, ({ params, query }) => {
      respell(params)
      respell(query)
    })

const UPPER_CASE = /[A-F]/
const UUID_IN_UPPER_CASE = /^(?=.*[A-F])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/

function respell(values: Record<string, unknown>) {
  for (const name in values) {
    const value = values[name]
    if (typeof value === 'string' && value.length === 36 && OURS.test(name) && UUID_IN_UPPER_CASE.test(value))
      values[name] = value.toLowerCase()
  }
}

/** What the ids of our rows are called. How an `external_id` is written is its client's affair. */
const OURS = /^(?!external_)\w+_id$|^taskId$/
