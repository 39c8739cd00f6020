import { DomainError, invalid } from '~/platform/errors'

/**
 * Splits a LiteLLM id at its first slash, so that `openrouter/meta-llama/llama-3` keeps the rest as the model's name.
 * Throws `validation-failed` at `/model` for a provider or a name that cannot be called.
 */
export function parseModelId(id: string): { provider: string; model: string } {
  const slash = id.indexOf('/')
  const provider = id.slice(0, Math.max(slash, 0))
  const model = id.slice(slash + 1)
  if (!isProvider(provider)) {
    throw invalid(
      '/model',
      'unknown-provider',
      `Name the model as provider/model; the provider is one of ${Object.keys(PROVIDERS).join(', ')}.`,
    )
  }
  if (!MODEL_NAME.test(model) || model.includes('..') || model.includes('//') || (provider === 'demo' && model !== 'echo')) {
    throw invalid('/model', 'unknown-model', `${provider} has no model of that name.`)
  }
  return { provider, model }
}

/** Whether the id names a provider that we can call; whether the provider knows the model, only the provider can say. */
export function isKnownModel(id: string): boolean {
  try {
    parseModelId(id)
    return true
  } catch (error) {
    if (error instanceof DomainError) return false
    throw error
  }
}

/** The operator's keys, each for the operator's own address of that protocol. */
export type OperatorKeys = Partial<Record<Protocol, string | undefined>>

/** Whether an agent with that model must bring a key: the provider wants one, and the operator has none for it. */
export function needsOwnKey(id: string, operatorKeys: OperatorKeys): boolean {
  const { protocol, baseUrl, keyless = false } = getProvider(parseModelId(id).provider)
  return !keyless && (baseUrl !== undefined || operatorKeys[protocol] === undefined)
}

/** Gemini puts the name into the URL's path: nothing that could lead elsewhere. */
const MODEL_NAME = /^[A-Za-z0-9@][A-Za-z0-9._:@/+-]{0,199}$/

/** How a provider is spoken to: each protocol but `demo` has its SDK package, its base URL setting and its default key. */
export type Protocol = 'openai' | 'anthropic' | 'gemini' | 'openai-compatible' | 'demo'

export interface Provider {
  protocol: Protocol
  /** Absent: the operator's setting for the protocol, and with it the operator's key for those who have none. */
  baseUrl?: string
  /** Works without a key. */
  keyless?: true
  /** Below its address, where its list of models is no test of a key: anybody may read it, or there is none. */
  keyCheckPath?: string
  /** Answers 422 to `stream_options`; token counts then depend on its good will. */
  refusesStreamOptions?: true
}

export const isProvider = (name: string): boolean => Object.hasOwn(PROVIDERS, name)

export const getProvider = (name: string): Provider => {
  const provider = PROVIDERS[name]
  if (provider === undefined) throw new Error(`there is no provider ${name}`)
  return provider
}

/**
 * LiteLLM's names, because agents carry its ids. Addresses are the providers' documented OpenAI-compatible ones.
 * `ollama` has no address of its own: a loopback default would let any tenant reach a local service that nobody offered.
 */
const PROVIDERS: Record<string, Provider> = {
  openai: { protocol: 'openai' },
  anthropic: { protocol: 'anthropic' },
  gemini: { protocol: 'gemini' },
  google: { protocol: 'gemini' },
  groq: { protocol: 'openai-compatible', baseUrl: 'https://api.groq.com/openai/v1' },
  cohere: { protocol: 'openai-compatible', baseUrl: 'https://api.cohere.ai/compatibility/v1', refusesStreamOptions: true },
  mistral: { protocol: 'openai-compatible', baseUrl: 'https://api.mistral.ai/v1', refusesStreamOptions: true },
  deepseek: { protocol: 'openai-compatible', baseUrl: 'https://api.deepseek.com/v1' },
  openrouter: { protocol: 'openai-compatible', baseUrl: 'https://openrouter.ai/api/v1', keyCheckPath: '/key' },
  together: { protocol: 'openai-compatible', baseUrl: 'https://api.together.xyz/v1' },
  together_ai: { protocol: 'openai-compatible', baseUrl: 'https://api.together.xyz/v1' },
  fireworks_ai: { protocol: 'openai-compatible', baseUrl: 'https://api.fireworks.ai/inference/v1' },
  xai: { protocol: 'openai-compatible', baseUrl: 'https://api.x.ai/v1' },
  perplexity: { protocol: 'openai-compatible', baseUrl: 'https://api.perplexity.ai' },
  cerebras: { protocol: 'openai-compatible', baseUrl: 'https://api.cerebras.ai/v1' },
  ollama: { protocol: 'openai-compatible', keyless: true },
  'openai-compatible': { protocol: 'openai-compatible', keyless: true },
  demo: { protocol: 'demo', keyless: true },
}
