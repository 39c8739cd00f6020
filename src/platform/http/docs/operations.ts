import { STATUS_CODES } from 'node:http'
import type { Operation, Parameter, Reference, Response } from './openapi'
import { isReference } from './openapi'
import { explained, idempotencyKey } from './parameters'
import { otherProblems, problemsOf } from './responses'

/** What a route itself says in `detail`; the plugin drops parts of it where the route also has schemas. */
export interface Detail {
  operationId?: string
  security?: Record<string, string[]>[]
  parameters?: (Parameter | Reference)[]
  responses?: Record<string, Partial<Response> | Reference>
  'x-never'?: number[]
}

/** Adds to the plugin's operation what follows from the route's inputs and security, so that no route has to repeat it. */
export function completeOperation(
  operation: Operation,
  { method, path, detail, body }: { method: string; path: string; detail: Detail; body: Operation['requestBody'] },
): Operation {
  const parameters = allParameters(operation, detail).map(explained)
  const facts = {
    isProtected: detail.security === undefined || detail.security.length > 0,
    hasInput: parameters.length > 0 || body !== undefined,
    hasPathId: parameters.some((parameter) => 'in' in parameter && parameter.in === 'path'),
    hasBody: body !== undefined,
    isIdempotent: parameters.some((parameter) => isReference(parameter) && parameter.$ref === idempotencyKey.$ref),
  }
  const {
    operationId: _id,
    parameters: _drafts,
    requestBody: _draft,
    responses: _own,
    'x-never': _,
    ...rest
  }: Operation & Detail = operation
  const given = problemStatuses(facts).filter((status) => detail['x-never']?.includes(status) !== true)
  return {
    operationId: detail.operationId ?? operationId(method, path),
    ...rest,
    ...(parameters.length > 0 && { parameters }),
    ...(body && { requestBody: body }),
    responses: { ...problemsOf(...given), ...otherProblems, ...ownResponses(operation, detail) },
  }
}

/** Where a route's schemas have none, the plugin keeps those of `detail`, else it drops them. */
function allParameters({ parameters: fromSchemas = [] }: Operation, { parameters: fromDetail = [] }: Detail): (Parameter | Reference)[] {
  return [...fromSchemas, ...fromDetail.filter((parameter) => !fromSchemas.some((known) => Bun.deepEquals(known, parameter)))]
}

/** `GET /api/v1/agents/:agent_id` is `getAgentsByAgentId`: stable, whatever the summary says. */
export function operationId(method: string, path: string): string {
  const parts = path
    .replace(/^\/api\/v1(?=\/)/, '')
    .split('/')
    .filter((part) => part !== '')
  const words = parts.map((part) => (part.startsWith(':') ? `By${pascal(part)}` : pascal(part)))
  return method.toLowerCase() + (words.join('') || 'Root')
}

const pascal = (part: string) =>
  part
    .split(/[^A-Za-z0-9]+/)
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join('')

interface Facts {
  isProtected: boolean
  hasInput: boolean
  hasPathId: boolean
  hasBody: boolean
  isIdempotent: boolean
}

function problemStatuses({ isProtected, hasInput, hasPathId, hasBody, isIdempotent }: Facts): number[] {
  return [
    ...(isProtected ? [401, 403] : []),
    ...(hasInput ? [400, 422] : []),
    ...(hasPathId ? [404] : []),
    ...(hasBody ? [413, 415] : []),
    ...(isIdempotent ? [409] : []),
    ...(isProtected || hasInput ? [429] : []),
  ]
}

function ownResponses(operation: Operation, detail: Detail): Operation['responses'] {
  const declared: Operation['responses'] = {}
  for (const [status, response] of Object.entries({ ...operation.responses, ...detail.responses })) {
    declared[status] = isReference(response)
      ? response
      : { ...operation.responses?.[status], ...response, description: described(status, response.description) }
  }
  // 101: the connection becomes a WebSocket.
  const succeeds = Object.keys(declared).some((status) => status.startsWith('2') || status === '101')
  return succeeds ? declared : { ...declared, 204: { description: described('204', undefined) } }
}

/** The plugin's filler says nothing. */
const described = (status: string, description: string | undefined) =>
  description === undefined || description === `Response for status ${status}` ? (STATUS_CODES[status] ?? status) : description
