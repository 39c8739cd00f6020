import { getProvider, type OperatorKeys, type Provider } from './providers'

/** Where this server's operator has the providers' APIs, and with which keys for agents that have none. */
export interface ModelSettings {
  openaiBaseUrl: string
  anthropicBaseUrl: string
  geminiBaseUrl: string
  compatibleBaseUrl?: string | undefined
  /** They only ever go to the operator's own address of that provider. */
  defaultKeys: OperatorKeys
}

/** A provider as this server reaches it. `baseUrl` undefined: nobody said where; `defaultKey`: the operator's, for that address alone. */
export function addressOf(name: string, settings: ModelSettings): Provider & { defaultKey: string | undefined } {
  const provider = getProvider(name)
  const configured = {
    openai: { baseUrl: settings.openaiBaseUrl, key: settings.defaultKeys.openai },
    anthropic: { baseUrl: settings.anthropicBaseUrl, key: settings.defaultKeys.anthropic },
    gemini: { baseUrl: settings.geminiBaseUrl, key: settings.defaultKeys.gemini },
    'openai-compatible': { baseUrl: settings.compatibleBaseUrl, key: undefined },
    demo: { baseUrl: undefined, key: undefined },
  }[provider.protocol]
  const baseUrl = provider.baseUrl ?? configured.baseUrl
  return {
    ...provider,
    ...(baseUrl === undefined ? {} : { baseUrl }),
    defaultKey: provider.baseUrl === undefined ? configured.key : undefined,
  }
}

/** Other keys make fetch throw an error that quotes them. */
export const isSendable = (apiKey: string): boolean => /^[\x21-\x7e]+$/.test(apiKey)
