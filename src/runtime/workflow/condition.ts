import { compilePattern } from '../safe-pattern'
import type { Condition } from './graph'

/** Which of a node's conditions are met, for the values that its fields have. */
export function evaluate(conditions: Condition[], read: (field: string) => unknown): { condition: Condition; met: boolean }[] {
  return conditions.map((condition) => ({ condition, met: isMet(condition.data, read(condition.data.field)) }))
}

/** Both sides as texts. An operator that nobody knows is never met. */
export function isMet({ operator, value: expected }: Pick<Condition['data'], 'operator' | 'value'>, actual: unknown): boolean {
  const left = textOf(actual)
  const right = textOf(expected)
  const has = (test: (left: string, right: string) => boolean) => test(left.toLowerCase(), right.toLowerCase())
  const compares = (test: (left: number, right: number) => boolean) => {
    const [a, b] = [numberOf(left), numberOf(right)]
    return a !== undefined && b !== undefined && test(a, b)
  }
  switch (operator) {
    case 'is_defined':
      return left !== ''
    case 'is_not_defined':
      return left === ''
    case 'equals':
      return left === right
    case 'not_equals':
      return left !== right
    case 'contains':
      return has((a, b) => a.includes(b))
    case 'not_contains':
      return has((a, b) => !a.includes(b))
    case 'starts_with':
      return has((a, b) => a.startsWith(b))
    case 'ends_with':
      return has((a, b) => a.endsWith(b))
    case 'greater_than':
      return compares((a, b) => a > b)
    case 'greater_than_or_equal':
      return compares((a, b) => a >= b)
    case 'less_than':
      return compares((a, b) => a < b)
    case 'less_than_or_equal':
      return compares((a, b) => a <= b)
    case 'matches':
      return matches(left, right)
    case 'not_matches':
      return !matches(left, right)
    default:
      return false
  }
}

/** More than any agent says to be routed by; a search takes time in proportion to it. */
const MAX_SEARCHED = 100_000

function matches(text: string, pattern: string): boolean {
  try {
    return compilePattern(pattern, { ignoreCase: true }).test(text.slice(0, MAX_SEARCHED))
  } catch {
    return false // no pattern: nothing matches it
  }
}

const textOf = (value: unknown): string => {
  if (value === null || value === undefined) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i

const numberOf = (text: string): number | undefined => {
  const trimmed = text.trim()
  if (trimmed === '') return 0
  return NUMBER.test(trimmed) ? Number(trimmed) : undefined
}
