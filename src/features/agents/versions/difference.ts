import { pointerPart } from '~/platform/errors'
import type { Difference } from './schema'

/** Enough to be looked at; who needs all reads both. */
const MAX_DIFFERENCES = 500

/** Where two JSON values differ, innermost first to be named; lists are compared item by item. */
export function differences(from: unknown, to: unknown): Difference[] {
  const found: Difference[] = []
  const walk = (before: unknown, after: unknown, pointer: string) => {
    if (found.length >= MAX_DIFFERENCES || Bun.deepEquals(before, after)) return
    if (!isContainer(before) || !isContainer(after) || Array.isArray(before) !== Array.isArray(after)) {
      found.push({ pointer, ...(before === undefined ? {} : { from: before }), ...(after === undefined ? {} : { to: after }) })
      return
    }
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)]))
      walk(own(before, key), own(after, key), `${pointer}/${pointerPart(key)}`)
  }
  walk(from, to, '')
  return found
}

const isContainer = (value: unknown): value is Record<string, unknown> => value !== null && typeof value === 'object'
const own = (value: Record<string, unknown>, key: string) => (Object.hasOwn(value, key) ? value[key] : undefined)
