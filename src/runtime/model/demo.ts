import type { Clock } from '~/platform/clock'
import { DomainError } from '~/platform/errors'
import type { ModelDelta, ModelMessage, ModelReply, ModelRequest, ToolCall, ToolDeclaration } from './types'
import { jsonWithoutFiles } from './without-files'

/** `/slow` waits at most this long before a word. */
const MAX_DELAY_MS = 10_000
/** Words between two turns of the event loop, so that a long text holds nobody up. */
const BURST = 100

/**
 * `demo/echo`: says the user's text back, word by word, for people without a key and for tests. Equal requests get equal replies. Lines of the
 * user's last message steer it:
 *
 * - `/tool <name> <JSON arguments>` calls the tool, if it is declared; the next turn then quotes the result;
 * - `/slow <ms>` waits before each word and is not repeated;
 * - `/fail` fails like a provider.
 */
export async function echo(
  { messages, system, tools, maxOutputTokens }: Pick<ModelRequest, 'messages' | 'system' | 'tools' | 'maxOutputTokens'>,
  { onDelta, signal, clock }: { onDelta: (delta: ModelDelta) => void; signal: AbortSignal; clock: Clock },
): Promise<ModelReply> {
  const asked = lastUserText(messages)
  if (/^\/fail\s*$/m.test(asked)) throw new DomainError('upstream-error', 'The demo model was told to fail.')

  const results = messages.at(-1)?.role === 'tool' ? messages.at(-1) : undefined
  const toolCalls = results === undefined ? askedCalls(asked, { tools, earlier: countCalls(messages) }) : []
  const whole = toolCalls.length > 0 ? '' : `Echo: ${results === undefined ? asked.replace(SLOW, '').trim() : quoteResults(results)}`
  const delayMs = Math.min(Number(SLOW.exec(asked)?.[1] ?? 0), MAX_DELAY_MS)

  // A word is a token here.
  const all = whole.match(/\S+\s*/g) ?? []
  const words = all.slice(0, maxOutputTokens)
  const text = words.length < all.length ? words.join('') : whole
  for (const [index, word] of words.entries()) {
    if (delayMs > 0) await clock.sleep(delayMs, signal)
    else if (index % BURST === BURST - 1) await new Promise((resolve) => setImmediate(resolve))
    signal.throwIfAborted()
    onDelta({ type: 'text', text: word })
  }
  return {
    text,
    toolCalls,
    usage: {
      inputTokens: countWords(jsonWithoutFiles([system, messages]).json),
      outputTokens: words.length,
      cachedInputTokens: 0,
      reasoningTokens: 0,
    },
    finishReason: toolCalls.length > 0 ? 'tool-calls' : words.length < all.length ? 'length' : 'stop',
  }
}

const SLOW = /^\/slow\s+(\d+)[ \t]*$/m
const TOOL = /^\/tool\s+(\S+)[ \t]*(.*)$/gm

const lastUserText = (messages: ModelMessage[]) =>
  (messages.findLast(({ role }) => role === 'user')?.parts ?? []).map((part) => (part.type === 'text' ? part.text : '')).join('\n')

const countCalls = (messages: ModelMessage[]) => messages.flatMap(({ parts }) => parts.filter(({ type }) => type === 'tool-call')).length

const countWords = (text: string) => text.match(/\S+/g)?.length ?? 0

/** A line with a tool that is not declared, or with arguments that are no JSON object, stays text and is echoed. */
function askedCalls(asked: string, { tools, earlier }: { tools: ToolDeclaration[]; earlier: number }): ToolCall[] {
  const calls: ToolCall[] = []
  for (const [, name = '', json = ''] of asked.matchAll(TOOL)) {
    const args = parseObject(json === '' ? '{}' : json)
    if (args === undefined || !tools.some((tool) => tool.name === name)) continue
    calls.push({ callId: `call_${earlier + calls.length + 1}`, name, args })
  }
  return calls
}

function parseObject(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined // not JSON: the line is text
  }
}

const quoteResults = ({ parts }: ModelMessage) =>
  parts
    .flatMap((part) =>
      part.type === 'tool-result'
        ? [`${part.name} ${part.isError ? 'failed with' : 'returned'} ${JSON.stringify(part.result ?? null)}`]
        : [],
    )
    .join('\n')
