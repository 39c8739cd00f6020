import type { ApiDocument } from '../support/documented-answers'
import type { Table } from './table'

/** What a route answers to a fault that has nothing to do with its subject: alike.test.ts makes these rows from the API document. */
export const ALIKE = {
  400: 'malformed-request',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not-found',
  413: 'payload-too-large',
  415: 'unsupported-media-type',
  422: 'validation-failed',
  429: 'rate-limited',
} as const
export type Alike = keyof typeof ALIKE

/** What alike.test.ts cannot ask for: with a reason, or left to a row of the tables. */
const NOT_ALIKE: Record<string, string> = {
  'GET /metrics 401': 'where there is such a page: has a row',
  'POST /api/v1/auth/login 401': 'a wrong password: has rows',
  'POST /api/v1/auth/login 403': 'an address that is not verified: has a row',
  'POST /api/v1/auth/login/mfa 401': 'has a row',
  'POST /api/v1/auth/login/mfa 403': 'an account that was switched off between the two steps: tests/security/second-factor.test.ts',
  'POST /api/v1/auth/refresh 401': 'has a row',
  'POST /api/v1/agents/import 404': 'a folder that the form names: rows/import.ts',
  'POST /api/v1/agents/validate 404': 'an agent that the body names: rows/beyond-work.ts',
  'POST /api/v1/webhooks/sendgrid 401': 'a signature: tests/security/mail-events.test.ts',
  'GET /api/v1/chat/ws/:agent_id/:external_id 403': 'an origin: tests/runs/chat-socket.test.ts',
  'GET /api/v1/chat/ws/:agent_id/:external_id 429': 'unknown sockets of one address: tests/runs/chat-socket.test.ts',
}

/** Documented, and without a row for a reason. */
const WITHOUT_ROW: Record<string, string> = {
  ...NOT_ALIKE,
  'GET /readyz 503': 'PostgreSQL away, or stopping: tests/faults/stores-away.test.ts',
  'POST /api/v1/a2a/:agent_id 503': 'PostgreSQL away: tests/faults/stores-away.test.ts',
  'GET /api/v1/chat/ws/:agent_id/:external_id 101': 'has rows of frames: chat-socket.test.ts',
  'GET /api/v1/chat/ws/:agent_id/:external_id 503': 'a process that stops: tests/faults/chat-socket.test.ts',
  'POST /api/v1/webhooks/sendgrid 204': 'a signature: tests/security/mail-events.test.ts',
  'DELETE /api/v1/agents/:agent_id 409': 'more than 500 agents that name it: tests/http/agent-references.test.ts',
  'POST /api/v1/contacts/:contact_id/erase 409': 'a run that does not end when it is told to',
  'POST /api/v1/agents/:agent_id/mcp-tools/accept 200': 'a server that changes its tools: tests/protocols/mcp-remote.test.ts',
  'POST /api/v1/mcp-servers/ 504': 'a server that is silent for longer than its deadline',
  'PUT /api/v1/mcp-servers/:server_id 504': 'the same',
}

export interface DocumentedRoute {
  /** As the app registers it: `GET /api/v1/agents/:agent_id`. */
  route: string
  statuses: number[]
  /** Takes an `Idempotency-Key`: a 409 may then be that of a request in progress alone, for which no row can be in time. */
  isIdempotent: boolean
}

export async function documentedRoutes(url: string): Promise<DocumentedRoute[]> {
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as ApiDocument
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      route: `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
      statuses: Object.keys(operation.responses).flatMap((code) => (code === 'default' ? [] : [Number(code)])),
      isIdempotent: JSON.stringify(operation).includes('/parameters/IdempotencyKey"'),
    })),
  )
}

/** The statuses of a route that alike.test.ts asks for. */
export const alikeOf = ({ route, statuses }: DocumentedRoute): Alike[] =>
  statuses.filter((status): status is Alike => status in ALIKE && NOT_ALIKE[`${route} ${status}`] === undefined)

/** `METHOD path status` of every documented answer that neither a table nor alike.test.ts has, nor an exception. */
export function withoutRow(routes: DocumentedRoute[], tables: Table[]): string[] {
  const asked = new Set<string>()
  const patterns = routes
    .map(({ route }) => ({ route, pattern: patternOf(route), literals: route.split('/').filter((part) => !part.startsWith(':')).length }))
    .toSorted((a, b) => b.literals - a.literals)
  for (const { ask, root, status } of tables.flatMap(({ rows }) => rows)) {
    const [method, target = ''] = ask.split(' ')
    const [path] = target.split('?')
    const request = `${method} ${root ? '' : '/api/v1'}${path}`
    const met = patterns.find(({ pattern }) => pattern.test(request))
    if (met !== undefined) asked.add(`${met.route} ${status}`)
  }
  return routes.flatMap((documented) => {
    const alike: number[] = alikeOf(documented)
    return documented.statuses
      .filter((status) => !alike.includes(status) && !(status === 409 && documented.isIdempotent))
      .map((status) => `${documented.route} ${status}`)
      .filter((answer) => !asked.has(answer) && WITHOUT_ROW[answer] === undefined)
  })
}

const patternOf = (route: string) => new RegExp(`^${route.replace(/\/$/, '').replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+')}/?$`)

/** Exceptions that no document knows any more. */
export const staleExceptions = (routes: DocumentedRoute[]): string[] => {
  const known = new Set(routes.flatMap(({ route, statuses }) => statuses.map((status) => `${route} ${status}`)))
  return Object.keys(WITHOUT_ROW).filter((answer) => !known.has(answer))
}
