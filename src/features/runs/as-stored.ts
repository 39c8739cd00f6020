import { jsonText } from './queries/owned'

/**
 * A step's result as it will come out of jsonb: with its keys in that order, and without what it does not take. Whatever follows from the result, inputs
 * and keys of later steps among it, is then the same now and when the run is taken up again.
 */
export const asStored = <T>(result: T): T => (result === undefined ? result : (inOrder(JSON.parse(jsonText(result))) as T))

function inOrder(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value
  if (Array.isArray(value)) return value.map(inOrder)
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => byJsonb(a, b))
      .map(([key, item]) => [key, inOrder(item)]),
  )
}

/** Shorter keys first, then by their bytes in UTF-8. */
const byJsonb = (a: string, b: string) => Buffer.byteLength(a) - Buffer.byteLength(b) || Buffer.compare(Buffer.from(a), Buffer.from(b))
