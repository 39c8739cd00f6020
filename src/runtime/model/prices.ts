import type { ModelReply } from './types'

/** US dollars for a million tokens. */
export interface Price {
  input: number
  /** Input that the provider had in its cache; absent: like the rest. */
  cachedInput?: number | undefined
  output: number
}

export interface Prices {
  /** The price of a model, or of the family that its name begins with. Undefined for a model that nobody has told the price of. */
  find(model: string): Price | undefined
  /** The dearest of all: what a model without a known price counts for where nothing may be overspent. */
  readonly dearest: Price
}

/** Providers' list prices for plain requests, in their smallest context tier. MODEL_PRICES adds to them and overrules them. */
const LIST_PRICES: Record<string, Price> = {
  'openai/gpt-5': { input: 1.25, cachedInput: 0.125, output: 10 },
  'openai/gpt-5-mini': { input: 0.25, cachedInput: 0.025, output: 2 },
  'openai/gpt-5-nano': { input: 0.05, cachedInput: 0.005, output: 0.4 },
  'openai/gpt-4.1': { input: 2, cachedInput: 0.5, output: 8 },
  'openai/gpt-4.1-mini': { input: 0.4, cachedInput: 0.1, output: 1.6 },
  'openai/gpt-4.1-nano': { input: 0.1, cachedInput: 0.025, output: 0.4 },
  'openai/gpt-4o': { input: 2.5, cachedInput: 1.25, output: 10 },
  'openai/gpt-4o-mini': { input: 0.15, cachedInput: 0.075, output: 0.6 },
  'openai/o3': { input: 2, cachedInput: 0.5, output: 8 },
  'openai/o4-mini': { input: 1.1, cachedInput: 0.275, output: 4.4 },
  'anthropic/claude-opus-4': { input: 15, cachedInput: 1.5, output: 75 },
  'anthropic/claude-sonnet-4': { input: 3, cachedInput: 0.3, output: 15 },
  'anthropic/claude-haiku-4': { input: 1, cachedInput: 0.1, output: 5 },
  'anthropic/claude-3-7-sonnet': { input: 3, cachedInput: 0.3, output: 15 },
  'anthropic/claude-3-5-haiku': { input: 0.8, cachedInput: 0.08, output: 4 },
  'gemini/gemini-2.5-pro': { input: 1.25, cachedInput: 0.31, output: 10 },
  'gemini/gemini-2.5-flash': { input: 0.3, cachedInput: 0.075, output: 2.5 },
  'gemini/gemini-2.5-flash-lite': { input: 0.1, cachedInput: 0.025, output: 0.4 },
  'gemini/gemini-2.0-flash': { input: 0.1, cachedInput: 0.025, output: 0.4 },
  'groq/llama-3.3-70b-versatile': { input: 0.59, output: 0.79 },
  'groq/llama-3.1-8b-instant': { input: 0.05, output: 0.08 },
  'deepseek/deepseek-chat': { input: 0.27, cachedInput: 0.07, output: 1.1 },
  'mistral/mistral-large': { input: 2, output: 6 },
  'demo/echo': { input: 0, output: 0 },
}

export function createPrices(own: Record<string, Price>): Prices {
  const table = new Map(Object.entries({ ...LIST_PRICES, ...own }))
  const longestFirst = [...table.keys()].toSorted((a, b) => b.length - a.length)
  const most = (pick: (price: Price) => number) => Math.max(...[...table.values()].map(pick))
  return {
    find: (model) => table.get(longestFirst.find((name) => model === name || model.startsWith(`${name}-`)) ?? ''),
    dearest: { input: most(({ input }) => input), output: most(({ output }) => output) },
  }
}

/** A dollar for a million tokens is a thousand billionths for one. */
const NANOS = 1000

/** Billionths of a dollar, rounded up: what was spent is never told too low. */
export function costNanos({ input, cachedInput = input, output }: Price, usage: ModelReply['usage']): number {
  const cached = Math.min(usage.cachedInputTokens, usage.inputTokens)
  // Decimal fractions of prices are no binary ones: what is whole but for that stays whole.
  const exact = ((usage.inputTokens - cached) * input + cached * cachedInput + usage.outputTokens * output) * NANOS
  return Math.ceil(Number(exact.toFixed(6)))
}

/** The most that a call can cost: a token is at least one byte of what is sent. */
export const mostNanos = ({ input, cachedInput = input, output }: Price, most: { inputTokens: number; outputTokens: number }): number =>
  Math.ceil((most.inputTokens * Math.max(input, cachedInput) + most.outputTokens * output) * NANOS)
