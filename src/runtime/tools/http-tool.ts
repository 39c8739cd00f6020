import type { Clock } from '~/platform/clock'
import { DomainError } from '~/platform/errors'
import { redactText } from '~/platform/log'
import type { Outbound, OutboundResponse } from '~/platform/outbound'
import { conceal, secretsAmong } from './conceal'
import { describeInput, readInput } from './http-tool-input'
import { buildRequest } from './http-tool-request'
import type { HttpToolSpec } from './http-tool-spec'
import { parseJson } from './parse-json'
import { type AgentTool, toolError } from './tool'

export { checkHttpTool, HttpToolSpec } from './http-tool-spec'

export interface HttpToolDeps {
  outbound: Outbound
  /** For all attempts of one call and the waits between them, whatever the tool's own timeout says. */
  maxTimeoutMs: number
  /** Of the decoded answer. */
  maxBytes: number
  clock: Clock
}

type Attempt = { response: OutboundResponse } | { failure: DomainError }

const DEFAULT_TIMEOUT_SECONDS = 30
const MAX_RETRIES = 5
const FIRST_PAUSE_MS = 250
const MAX_PAUSE_MS = 4000
const MAX_SHOWN_ERROR_LENGTH = 1000
const REPEATABLE_METHODS = new Set(['GET', 'HEAD', 'PUT', 'DELETE'])
const REPEATABLE_STATUSES = new Set([408, 429, 500, 502, 503, 504])

/** A tenant's HTTP endpoint as a tool. The answer is its JSON, or `{content}` with its text. */
export function createHttpTool(spec: HttpToolSpec, { outbound, maxTimeoutMs, maxBytes, clock }: HttpToolDeps): AgentTool {
  const inputSchema = describeInput(spec)
  const effect = effectOf(spec)
  const { timeout, retry_count, fallback_response } = spec.error_handling ?? {}
  const attemptMs = (timeout || DEFAULT_TIMEOUT_SECONDS) * 1000
  const retries = REPEATABLE_METHODS.has(spec.method.toUpperCase()) ? Math.min(Math.floor(retry_count ?? 0), MAX_RETRIES) : 0

  /** The tool's own answer for failures does not hide that our guard refused the address or a header: its author has to see that. */
  const failed = (message: string, problem?: string) =>
    isConfigured(fallback_response) && problem !== 'url-not-allowed' && problem !== 'validation-failed'
      ? fallback_response
      : toolError(message, problem)

  return {
    name: spec.name.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64),
    description: spec.description ?? '',
    inputSchema,
    effect,
    requiresApproval: spec.require_approval === true,

    async execute(args, { idempotencyKey, signal }) {
      const input = readInput(spec, inputSchema, args)
      if ('fault' in input) return toolError(input.fault)
      const built = buildRequest(spec, input.values)
      if ('fault' in built) return toolError(built.fault)
      const endsAt = clock.now() + maxTimeoutMs

      const attempt = async (): Promise<Attempt> => {
        try {
          const timeoutMs = Math.max(1, Math.min(attemptMs, endsAt - clock.now()))
          const key = effect === 'read-only' ? {} : { idempotencyKey }
          return { response: await outbound.request({ ...built.request, ...key, timeoutMs, maxBytes, signal }) }
        } catch (error) {
          signal.throwIfAborted()
          if (error instanceof DomainError) return { failure: error }
          throw error
        }
      }

      let last = await attempt()
      for (let retry = 0; retry < retries && mayPass(last); retry++) {
        const pauseMs = pauseBefore(retry, last)
        if (clock.now() + pauseMs >= endsAt) break
        await clock.sleep(pauseMs, signal)
        last = await attempt()
      }
      if ('failure' in last) return failed(last.failure.message, last.failure.problem)
      const { status } = last.response
      const secrets = secretsAmong({ ...spec.values, ...built.request.headers })
      const text = last.response.text()
      // Pages that explain a failure like to repeat the request, credentials and all.
      if (status >= 400) return failed(`HTTP ${status}: ${redactText(`${conceal(text, secrets)}`).slice(0, MAX_SHOWN_ERROR_LENGTH)}`)
      const value = parseJson(text)
      return conceal(value === undefined ? { content: text } : value, secrets)
    },
  }
}

function effectOf({ method, idempotent }: HttpToolSpec): AgentTool['effect'] {
  switch (method.toUpperCase()) {
    case 'GET':
    case 'HEAD':
    case 'OPTIONS':
      return 'read-only'
    case 'PUT':
    case 'DELETE':
      return 'idempotent'
    default:
      return idempotent === true ? 'idempotent' : 'unsafe'
  }
}

/** The frontend saves a fallback with empty texts when none was entered. */
const isConfigured = <T>(fallback: Record<string, T> | null | undefined): fallback is Record<string, T> =>
  Object.values(fallback ?? {}).some((value) => value !== '' && value !== null)

const mayPass = (last: Attempt) =>
  'response' in last
    ? REPEATABLE_STATUSES.has(last.response.status)
    : last.failure.problem === 'upstream-error' || last.failure.problem === 'upstream-timeout'

/** Doubles, or as the remote side asks in whole seconds; both up to a bound. */
function pauseBefore(retry: number, last: Attempt): number {
  const asked = 'response' in last ? last.response.headers.get('retry-after') : null
  const pauseMs = asked !== null && /^\d{1,9}$/.test(asked) ? Number(asked) * 1000 : FIRST_PAUSE_MS * 2 ** retry
  return Math.min(pauseMs, MAX_PAUSE_MS)
}
