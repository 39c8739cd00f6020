import type { LanguageModelV4Message } from '@ai-sdk/provider'

export type AssistantContent = Extract<LanguageModelV4Message, { role: 'assistant' }>['content']

/** Whole and in order, because Anthropic compares it with what it sent; for one model only, because signatures are. */
interface ProviderState {
  model: string
  content: AssistantContent
}

/**
 * What must go back with the tool results, if anything must. Without tool calls nothing must: providers accept, or drop, the reasoning of
 * earlier turns.
 */
export function keepContent(content: AssistantContent, model: string): ProviderState | undefined {
  const wanted = content.some(({ type, providerOptions }) => type === 'reasoning' || providerOptions !== undefined)
  return wanted && content.some(isCallToUs) ? { model, content } : undefined
}

/** What the provider ran itself comes with its result. */
export const isCallToUs = (part: AssistantContent[number]) => part.type === 'tool-call' && part.providerExecuted !== true

export function restoreContent(state: unknown, model: string): AssistantContent | undefined {
  // It comes from our own journal, where only keepContent writes it.
  const kept = state as ProviderState | null | undefined
  return kept?.model === model ? kept.content : undefined
}
