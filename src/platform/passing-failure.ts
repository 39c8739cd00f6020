import { DomainError, type ProblemName } from './errors'
import { RedisUnavailable } from './redis'

const PASSING_PROBLEMS: ProblemName[] = ['dependency-unavailable', 'overloaded', 'upstream-timeout']
/** SQLSTATE classes 08, 53, 57P, a deadlock or lock timeout, a read-only standby; and what drivers say about broken connections. */
const PASSING_CODE = /^(08|53|57P|40001|40P01|55P03|57014|25006|ECONN|EPIPE|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|CONNECTION_|CONNECT_)/
const MAX_CAUSES = 5

/** Whether the stores were at fault, so that the same work may well succeed a moment later. */
export function isPassing(error: unknown): boolean {
  let current = error
  for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth += 1) {
    if (current instanceof RedisUnavailable) return true
    if (current instanceof DomainError && PASSING_PROBLEMS.includes(current.problem)) return true
    if ('code' in current && PASSING_CODE.test(String(current.code))) return true
    current = current.cause
  }
  return false
}
