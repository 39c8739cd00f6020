import type { Clock } from '~/platform/clock'
import { DomainError } from '~/platform/errors'
import type { Log } from '~/platform/log'
import { addressOf, isSendable, type ModelSettings } from './address'
import { withDeadline } from './deadline'
import { echo } from './demo'
import { loadModel, type ModelAddress } from './load-model'
import { toPrompt, toTools } from './prompt'
import { type Diagnosis, diagnose, isRetryable, ProviderFailure, toDomainError } from './provider-failure'
import { parseModelId } from './providers'
import { readReply } from './read-reply'
import type { ModelClient, ModelDelta, ModelReply, ModelRequest } from './types'

export interface ModelClientOptions extends ModelSettings {
  clock: Clock
  log: Log
  /** At least 0, below 1: spreads the retries. */
  random?: () => number
}

const MAX_RETRIES = 2
const FIRST_BACKOFF_MS = 500
/** A provider that wants a longer pause gets no second try: the caller is told the time instead. */
const MAX_PAUSE_MS = 20_000

export function createModelClient(options: ModelClientOptions): ModelClient {
  const { clock, log, random = Math.random } = options
  return {
    async generate(request, onDelta) {
      const { signal, timeoutMs, model: id } = request
      const { provider } = parseModelId(id)
      const deadline = clock.now() + timeoutMs
      return withDeadline({ signal, timeoutMs, clock }, async (callSignal) => {
        if (provider === 'demo') return echo(request, { onDelta, signal: callSignal, clock })
        const address = resolveAddress(request, options)
        for (let attempt = 1; ; attempt += 1) {
          try {
            return await callOnce(request, { address, onDelta, signal: callSignal })
          } catch (error) {
            callSignal.throwIfAborted()
            if (!(error instanceof ProviderFailure)) throw error
            const { apiKey } = address
            const diagnosis = diagnose(error, { apiKey, now: clock.now() })
            const pauseMs = attempt > MAX_RETRIES || error.streamed ? undefined : pauseBefore(attempt, diagnosis, random)
            if (pauseMs === undefined || clock.now() + pauseMs >= deadline) {
              throw toDomainError(diagnosis, { provider, streamed: error.streamed })
            }
            log.warn('model call failed, trying again', { model: id, attempt, pauseMs, kind: diagnosis.kind, status: diagnosis.status })
            await clock.sleep(pauseMs, callSignal)
          }
        }
      })
    },
  }
}

/**
 * The SDK's provider is called directly, without `streamText`: its loop, retries and telemetry are ours to do here, and it takes three times as
 * long to the first token at 50 streams.
 */
async function callOnce(
  request: ModelRequest,
  { address, onDelta, signal }: { address: ModelAddress; onDelta: (delta: ModelDelta) => void; signal: AbortSignal },
): Promise<ModelReply> {
  const { model: id, tools, maxOutputTokens, temperature, outputSchema } = request
  const model = await loadModel(address)
  const call = {
    prompt: toPrompt(request),
    abortSignal: signal,
    ...(tools.length > 0 ? { tools: toTools(tools) } : {}),
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(outputSchema === undefined ? {} : { responseFormat: { type: 'json' as const, schema: outputSchema } }),
  }
  const { stream } = await Promise.resolve(model.doStream(call)).catch((error: unknown) => {
    throw new ProviderFailure(error, { streamed: false })
  })
  return readReply(stream, { model: id, signal, onDelta })
}

/** Where the call goes and with which key; refuses what cannot be called. */
function resolveAddress({ model: id, apiKey: ownKey }: ModelRequest, options: ModelClientOptions): ModelAddress {
  const { provider: name, model } = parseModelId(id)
  const { protocol, baseUrl, defaultKey, keyless = false, refusesStreamOptions = false } = addressOf(name, options)
  if (protocol === 'demo') throw new Error('the demo model has no address')
  if (baseUrl === undefined) {
    throw new DomainError('upstream-error', `This server has no address for ${name} models (OPENAI_COMPATIBLE_BASE_URL).`)
  }
  const apiKey = ownKey?.trim() || defaultKey
  if (apiKey === undefined && !keyless) {
    throw new DomainError('upstream-error', `This agent has no API key for ${name}. Set api_key_id.`)
  }
  if (apiKey !== undefined && !isSendable(apiKey)) {
    throw new DomainError('upstream-error', `The API key for ${name} has characters that no key has.`)
  }
  return { name, protocol, baseUrl, apiKey, model, refusesStreamOptions }
}

/** Undefined: no second try. A time that the provider names is kept, not shortened. */
function pauseBefore(attempt: number, diagnosis: Diagnosis, random: () => number): number | undefined {
  if (!isRetryable(diagnosis)) return undefined
  const backoffMs = FIRST_BACKOFF_MS * 2 ** (attempt - 1) * (0.5 + random() / 2)
  const pauseMs = Math.max(Math.round(backoffMs), diagnosis.retryAfterMs ?? 0)
  return pauseMs > MAX_PAUSE_MS ? undefined : pauseMs
}
