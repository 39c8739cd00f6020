import { DomainError } from '~/platform/errors'
import { redactText } from '~/platform/log'

/** Whatever a call to a provider ended with, before it is decided whether to try again. */
export class ProviderFailure extends Error {
  /** Something of the reply had come already: a second try would say it twice. */
  readonly streamed: boolean

  constructor(reason: unknown, { streamed }: { streamed: boolean }) {
    super('the call to the provider failed', { cause: reason })
    this.streamed = streamed
  }
}

/** What a failure means to us, free of keys and of what the request held. */
export interface Diagnosis {
  kind: 'status' | 'connection' | 'unsupported' | 'unreadable'
  /** The provider's, 300 to 599; of kind `status` only. */
  status: number
  /** The provider's own words, shortened. */
  text: string
  /** It says that the key is at fault. */
  isKeyRefused: boolean
  retryAfterMs: number | undefined
}

/**
 * The SDK's errors share no class: an `APICallError` for an HTTP answer, a plain frame for an error inside a stream, Bun's own for the network.
 * So this goes by the properties they have.
 */
export function diagnose({ cause: reason }: ProviderFailure, { apiKey, now }: { apiKey: string | undefined; now: number }): Diagnosis {
  const error = (typeof reason === 'object' && reason !== null ? reason : {}) as ErrorLike
  const text = cleanText(typeof error.message === 'string' ? error.message : '', apiKey)
  const retryAfterMs = retryAfter(error, now)
  const status = statusOf(error)
  const isKeyRefused = isRefusalOfKey(status, error.responseBody)
  const rest = { isKeyRefused, retryAfterMs }
  if (status !== undefined) return { kind: 'status', status, text, ...rest }
  if (error.name === 'AI_UnsupportedFunctionalityError') return { kind: 'unsupported', status: 0, text, ...rest }
  if (!(reason instanceof Error)) return { kind: 'status', status: 500, text, ...rest }
  // The openai-compatible package's word for a stream that ends without a finish reason.
  const endedEarly = error.name === 'AI_InvalidResponseDataError'
  if (error.isRetryable === true || endedEarly || (typeof error.code === 'string' && !error.name?.startsWith('AI_'))) {
    return { kind: 'connection', status: 0, text, ...rest }
  }
  // Its message quotes what could not be read, which may be anybody's words.
  return { kind: 'unreadable', status: 0, text: error.name ?? '', ...rest }
}

/** Gemini and xAI answer 400 to a key that is none of theirs. */
const SAYS_KEY_IS_WRONG = /API_KEY_INVALID|incorrect api key|invalid api key/i

export const isRefusalOfKey = (status: number | undefined, body: unknown): boolean =>
  status === 401 || status === 403 || (status === 400 && typeof body === 'string' && SAYS_KEY_IS_WRONG.test(body))

export const isRetryable = ({ kind, status }: Diagnosis) =>
  kind === 'connection' || (kind === 'status' && (status === 408 || status === 409 || status === 429 || status >= 500))

/** Applies to a 429 that names no time. */
const DEFAULT_RETRY_AFTER_SECONDS = 10
/** Quotas are renewed daily: a provider that names more has made a mistake, which our callers need not keep. */
const MAX_RETRY_AFTER_SECONDS = 86_400

/** Never our 401: the frontend would sign its user out because a provider dislikes a key. */
export function toDomainError(diagnosis: Diagnosis, { provider, streamed }: { provider: string; streamed: boolean }): DomainError {
  const { kind, status, text, isKeyRefused, retryAfterMs } = diagnosis
  // Not the SDK's error, which holds the whole request.
  const cause = new Error(`${provider}: ${kind}${kind === 'status' ? ` ${status}` : ''}${text === '' ? '' : `: ${text}`}`)
  if (kind === 'connection') {
    const detail = streamed ? `The answer of the model provider ${provider} broke off.` : `The model provider ${provider} did not answer.`
    return new DomainError('upstream-error', detail, { cause })
  }
  if (kind === 'unreadable')
    return new DomainError('upstream-error', `The answer of the model provider ${provider} could not be read.`, { cause })
  if (kind === 'unsupported')
    return new DomainError('upstream-error', `The model provider ${provider} does not take this: ${text}`, { cause })
  if (isKeyRefused) return new DomainError('upstream-error', 'The model provider refused the API key.', { cause })
  if (status === 429) {
    const asked = retryAfterMs === undefined ? DEFAULT_RETRY_AFTER_SECONDS : Math.ceil(retryAfterMs / 1000)
    const retryAfterSeconds = Math.min(Math.max(1, asked), MAX_RETRY_AFTER_SECONDS)
    return new DomainError('rate-limited', `The model provider ${provider} limits our requests.`, { cause, retryAfterSeconds })
  }
  if (status >= 500 || status < 400 || status === 408) {
    return new DomainError('upstream-error', `The model provider ${provider} failed with status ${status}.`, { cause })
  }
  return new DomainError('upstream-error', `The model provider ${provider} refused the request${text === '' ? '.' : `: ${text}`}`, {
    cause,
  })
}

interface ErrorLike {
  name?: string
  message?: unknown
  statusCode?: unknown
  /** A network error's name, or the status in the error frame of an OpenAI-compatible gateway. */
  code?: unknown
  isRetryable?: unknown
  responseHeaders?: Record<string, string>
  responseBody?: unknown
}

/** A 200 whose body broke off says 200: that is no status of an error. */
function statusOf({ statusCode, code }: ErrorLike): number | undefined {
  for (const value of [statusCode, code]) if (typeof value === 'number' && value >= 300 && value <= 599) return value
  return undefined
}

/** OpenAI's milliseconds, RFC 9110's seconds or date, Gemini's `RetryInfo` in the body. */
function retryAfter({ responseHeaders = {}, responseBody }: ErrorLike, now: number): number | undefined {
  const milliseconds = Number.parseFloat(responseHeaders['retry-after-ms'] ?? '')
  if (milliseconds >= 0) return milliseconds
  const header = responseHeaders['retry-after'] ?? ''
  const seconds = /^\d+(\.\d+)?$/.test(header) ? Number(header) : (Date.parse(header) - now) / 1000
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000)
  const delay = typeof responseBody === 'string' ? /"retryDelay"\s*:\s*"(\d+(?:\.\d+)?)s"/.exec(responseBody)?.[1] : undefined
  return delay === undefined ? undefined : Number(delay) * 1000
}

const MAX_TEXT_LENGTH = 300

/** Providers repeat the key they refuse, whole, masked with stars or as a header's value. */
function cleanText(text: string, apiKey: string | undefined): string {
  const unmasked = text.replace(/\S*\*{3,}\S*/g, '***')
  const withoutKey = apiKey === undefined || apiKey === '' ? unmasked : unmasked.replaceAll(apiKey, '***')
  const clean = redactText(withoutKey).replace(/\s+/g, ' ').trim()
  return clean.length > MAX_TEXT_LENGTH ? `${clean.slice(0, MAX_TEXT_LENGTH)}…` : clean
}
