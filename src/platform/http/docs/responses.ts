import { STATUS_CODES } from 'node:http'
import { DomainError, type ProblemName } from '../../errors'
import { MOST_COUNTED } from '../../keyset'
import { PROBLEMS, Problem, problemDocument } from '../problems'
import type { Reference, Response, Schema } from './openapi'

/** For `detail.responses` of a route: the problems that its inputs and its security do not already tell. */
export const problemsOf = (...statuses: number[]): Record<string, Reference> =>
  Object.fromEntries(statuses.map((status) => [status, { $ref: `#/components/responses/${componentName(status)}` }]))

/** For `detail` of a route that does not give what its inputs and its security let expect: a list of nothing is no 404. */
export const neverAnswers = (...statuses: number[]) => ({ 'x-never': statuses })

export const otherProblems: Record<string, Reference> = { default: { $ref: '#/components/responses/OtherProblem' } }

/** For `detail.responses` of a list that answers with http/listing.ts's `pageHeaders`. */
const listCounted = (total: string) => ({
  200: {
    description: 'A page of the list',
    headers: {
      'X-Total-Count': { description: total, schema: { type: 'integer' as const, minimum: 0 } },
      Link: {
        description: 'RFC 8288: the pages `first`, `prev` and `next`, as far as there are any.',
        schema: { type: 'string' as const },
      },
    },
  },
})
export const countedList = listCounted('Items on all pages together.')
/** A list that grows without end. */
export const partlyCountedList = listCounted(
  `Items on all pages together; absent where there are more than ${MOST_COUNTED.toLocaleString('en')}.`,
)

/** One component for each status that a problem may have. */
export function problemComponents(apiUrl: string): Record<string, Response> {
  const names = Object.keys(PROBLEMS) as ProblemName[]
  const byStatus = Object.entries(Object.groupBy(names, (name) => PROBLEMS[name].status))
  const other = names.filter((name) => PROBLEMS[name].status > 500 || PROBLEMS[name].status === 421)
  return {
    ...Object.fromEntries(
      byStatus.map(([status, those = []]) => [componentName(Number(status)), component(apiUrl, Number(status), those)]),
    ),
    OtherProblem: component(apiUrl, 503, ['internal', ...other]),
  }
}

const componentName = (status: number) => (STATUS_CODES[status] ?? `Status ${status}`).replaceAll(/[^A-Za-z0-9]/g, '')

/** Each name links to the page that explains it; the first serves as the example. */
function component(apiUrl: string, status: number, names: ProblemName[]): Response {
  const [first = 'internal'] = names
  const failure = new DomainError(first, PROBLEMS[first].meaning)
  const example = problemDocument(failure, { apiUrl, instance: '/api/v1/…', traceId: '4bf92f3577b34da6a3ce929d0e0e4736' })
  return {
    description: names.map((name) => `[${name}](/problems/${name})`).join(', '),
    ...(HEADERS[status] && { headers: HEADERS[status] }),
    content: { 'application/problem+json': { schema: Problem as Schema, example } },
  }
}

const RETRY_AFTER = { 'Retry-After': { description: 'Seconds.', schema: { type: 'integer', minimum: 1 } } }
const RATE = {
  RateLimit: {
    description:
      'draft-ietf-httpapi-ratelimit-headers: requests that are left (`r`), and seconds until all are (`t`). On every answer to a known caller.',
    schema: { type: 'string' },
  },
  'RateLimit-Policy': {
    description: 'The quota (`q`) in a window of so many seconds (`w`), by kind of request.',
    schema: { type: 'string' },
  },
}
const HEADERS: Record<number, NonNullable<Response['headers']>> = {
  401: { 'WWW-Authenticate': { description: 'RFC 6750.', schema: { type: 'string' } } },
  429: { ...RETRY_AFTER, ...RATE },
  503: RETRY_AFTER,
}
