import type { LanguageModelV4 } from '@ai-sdk/provider'
import type { Protocol } from './providers'

export interface ModelAddress {
  /** Only a label in errors. */
  name: string
  protocol: Exclude<Protocol, 'demo'>
  baseUrl: string
  apiKey: string | undefined
  model: string
  refusesStreamOptions: boolean
}

/**
 * The SDK's object for one call. It is made anew each time: that takes 2 µs, less than hashing a key to look it up in a cache, and no key
 * stays in memory after its call.
 */
export async function loadModel(address: ModelAddress): Promise<LanguageModelV4> {
  const create = factories.get(address.protocol) ?? (await importFactory(address.protocol))
  return create(address)
}

type Factory = (address: ModelAddress) => LanguageModelV4

const factories = new Map<Protocol, Factory>()

async function importFactory(protocol: ModelAddress['protocol']): Promise<Factory> {
  const factory = await importers[protocol]()
  factories.set(protocol, factory)
  return factory
}

/**
 * Imported on first use: a process that talks to no model stays small, and one that talks to Anthropic alone does not pay for the others. The first takes
 * 30 to 60 ms and 13 to 17 MB, each further one 7 to 15 ms and 1 to 2 MB, because they share most of their weight.
 */
const importers: Record<ModelAddress['protocol'], () => Promise<Factory>> = {
  // Chat Completions and not Responses: it is what every server behind an overridden base URL speaks.
  openai: async () => {
    const { createOpenAI } = await import('@ai-sdk/openai')
    return ({ apiKey = '', baseUrl, model }) => createOpenAI({ apiKey, baseURL: baseUrl, fetch: callFetch }).chat(model)
  },
  anthropic: async () => {
    const { createAnthropic } = await import('@ai-sdk/anthropic')
    return ({ apiKey = '', baseUrl, model }) => createAnthropic({ apiKey, baseURL: baseUrl, fetch: callFetch }).chat(model)
  },
  gemini: async () => {
    const { createGoogle } = await import('@ai-sdk/google')
    return ({ apiKey = '', baseUrl, model }) => createGoogle({ apiKey, baseURL: baseUrl, fetch: callFetch }).chat(model)
  },
  'openai-compatible': async () => {
    const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible')
    return ({ name, apiKey, baseUrl, model, refusesStreamOptions }) =>
      createOpenAICompatible({
        name,
        baseURL: baseUrl,
        fetch: callFetch,
        includeUsage: !refusesStreamOptions,
        ...(apiKey === undefined ? {} : { apiKey }),
      }).chatModel(model)
  },
}

/**
 * No redirects, because Bun would take `x-api-key` along to another origin; and no idle timeout of its own, because Bun's five minutes cut a
 * model that thinks longer. The call's deadline rules.
 */
const callFetch = Object.assign(
  (input: string | URL | Request, init?: RequestInit) => fetch(input, { ...init, redirect: 'manual', timeout: false }),
  { preconnect: fetch.preconnect },
)
