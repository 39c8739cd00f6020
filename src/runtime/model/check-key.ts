import type { Clock } from '~/platform/clock'
import { DomainError } from '~/platform/errors'
import { addressOf, isSendable, type ModelSettings } from './address'
import { withDeadline } from './deadline'
import { isRefusalOfKey } from './provider-failure'
import { isProvider, type Protocol } from './providers'

/** `refused`: 401, or what the provider says in its place; `forbidden`: known, but not allowed to do this; `unsupported`: there is nobody to ask. */
export type KeyOutcome = 'accepted' | 'refused' | 'forbidden' | 'rate-limited' | 'unreachable' | 'unexpected' | 'unsupported'

export interface KeyVerdict {
  outcome: KeyOutcome
  /** For people. Of the provider's answer it holds the status alone: providers repeat the key they refuse. */
  detail: string
}

/** Asks the provider whether it takes the key, with a call that costs nothing. */
export type CheckKey = (provider: string, apiKey: string, signal: AbortSignal) => Promise<KeyVerdict>

/** Of a refusal; nothing of any other answer is read. */
const MAX_ANSWER_BYTES = 65_536

export const createCheckKey =
  ({ settings, clock, timeoutMs }: { settings: ModelSettings; clock: Clock; timeoutMs: number }): CheckKey =>
  async (provider, apiKey, signal) => {
    if (!isProvider(provider)) return verdict('unsupported', 'This server knows no provider of that name.')
    const { protocol, baseUrl, keyCheckPath = '/models' } = addressOf(provider, settings)
    if (protocol === 'demo') return verdict('unsupported', 'The built-in model takes no key.')
    if (baseUrl === undefined) return verdict('unsupported', `This server has no address for ${provider} models.`)
    if (!isSendable(apiKey)) return verdict('refused', 'The key has characters that no key has.')
    try {
      return await withDeadline({ signal, timeoutMs, clock }, (callSignal) =>
        ask(`${baseUrl.replace(/\/$/, '')}${keyCheckPath}`, { headers: HEADERS[protocol](apiKey), provider, signal: callSignal }),
      )
    } catch (error) {
      signal.throwIfAborted()
      const late = error instanceof DomainError && error.problem === 'upstream-timeout'
      return verdict('unreachable', late ? `${provider} did not answer within ${timeoutMs / 1000} s.` : `${provider} could not be reached.`)
    }
  }

/** The address is the operator's or the provider's own, never a tenant's. No redirect is followed: it would take the key elsewhere. */
async function ask(
  url: string,
  { headers, provider, signal }: { headers: Record<string, string>; provider: string; signal: AbortSignal },
): Promise<KeyVerdict> {
  const response = await fetch(url, { headers, redirect: 'manual', signal })
  const { status } = response
  if (status === 400) {
    if (isRefusalOfKey(status, await startOf(response))) return verdict('refused', `${provider} refused the key (400).`)
    return verdict('unexpected', `${provider} answered with status 400.`)
  }
  const isJson = response.headers.get('content-type')?.includes('json') === true
  await response.body?.cancel()
  if (response.ok && isJson) return verdict('accepted', `${provider} took the key.`)
  if (response.ok) return verdict('unexpected', `What answered for ${provider} is not its API.`)
  if (status === 401) return verdict('refused', `${provider} refused the key (401).`)
  if (status === 403) return verdict('forbidden', `${provider} knows the key and does not allow it this call (403).`)
  if (status === 429) return verdict('rate-limited', `${provider} limits the requests of this key (429). Try again later.`)
  return verdict('unexpected', `${provider} answered with status ${status}.`)
}

const verdict = (outcome: KeyOutcome, detail: string): KeyVerdict => ({ outcome, detail })

const HEADERS: Record<Exclude<Protocol, 'demo'>, (apiKey: string) => Record<string, string>> = {
  openai: (apiKey) => ({ authorization: `Bearer ${apiKey}` }),
  anthropic: (apiKey) => ({ 'x-api-key': apiKey, 'anthropic-version': '2023-06-01' }),
  gemini: (apiKey) => ({ 'x-goog-api-key': apiKey }),
  'openai-compatible': (apiKey) => ({ authorization: `Bearer ${apiKey}` }),
}

async function startOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body ?? []) {
    chunks.push(chunk)
    size += chunk.byteLength
    if (size >= MAX_ANSWER_BYTES) break
  }
  return Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES).toString('utf8')
}
