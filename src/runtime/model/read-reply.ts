import type { LanguageModelV4StreamPart } from '@ai-sdk/provider'
import { DomainError } from '~/platform/errors'
import { endingOf } from '../file-ending'
import { parseJson } from '../tools/parse-json'
import { codeParts, executedContent } from './executed-code'
import { ProviderFailure } from './provider-failure'
import { type AssistantContent, isCallToUs, keepContent } from './provider-state'
import type { FilePart, ModelDelta, ModelReply } from './types'

/** Text, reasoning and tool arguments together, in UTF-16 units: far more than any model writes in one step. */
const MAX_REPLY_LENGTH = 4_194_304
/** No model reads or writes as much in one step; a run's sum of such counts still fits its column. */
const MAX_TOKENS = 10_000_000
/** Of pictures and the like, in base64. */
const MAX_FILES_LENGTH = 33_554_432

type Part<Type extends LanguageModelV4StreamPart['type']> = Extract<LanguageModelV4StreamPart, { type: Type }>
type Block = Extract<AssistantContent[number], { type: 'text' | 'reasoning' }>

/**
 * Reads a stream to its end. Throws `ProviderFailure` when it breaks off, says so or cannot be read.
 * It stops reading once the signal aborts, so that no delta comes after the caller has gone.
 */
export async function readReply(
  stream: ReadableStream<LanguageModelV4StreamPart>,
  { model, signal, onDelta }: { model: string; signal: AbortSignal; onDelta: (delta: ModelDelta) => void },
): Promise<ModelReply> {
  const reader = stream.getReader()
  const content: AssistantContent = []
  const files: FilePart[] = []
  let fileLength = 0
  const open = new Map<string, Block>()
  let length = 0
  let finish: Part<'finish'> | undefined
  const grow = (added: number) => {
    length += added
    if (length > MAX_REPLY_LENGTH) throw new DomainError('upstream-error', 'The reply of the model is too long.')
  }
  const failed = (error: unknown) =>
    new ProviderFailure(error, { streamed: length > 0 || content.some(({ type }) => type === 'tool-call') })
  const addExecuted = (part: Part<'tool-call'> | Part<'tool-result'>) => {
    const executed = executedContent(part)
    if (executed === undefined) return
    grow(JSON.stringify(executed).length)
    content.push(executed)
  }

  for (;;) {
    const { done, value: part } = await reader.read().catch((error: unknown) => {
      throw failed(error)
    })
    signal.throwIfAborted()
    if (done) break
    switch (part.type) {
      case 'text-start':
      case 'reasoning-start': {
        const block: Block = { type: part.type === 'text-start' ? 'text' : 'reasoning', text: '' }
        open.set(part.id, block)
        content.push(block)
        keepMetadata(block, part)
        break
      }
      case 'text-delta':
      case 'reasoning-delta': {
        const block = open.get(part.id)
        if (block === undefined) throw failed(new Error(`${part.type} outside of a block`))
        keepMetadata(block, part)
        if (part.delta === '') break
        grow(part.delta.length)
        block.text += part.delta
        onDelta({ type: block.type, text: part.delta })
        break
      }
      case 'text-end':
      case 'reasoning-end': {
        const block = open.get(part.id)
        if (block !== undefined) keepMetadata(block, part)
        open.delete(part.id)
        break
      }
      case 'tool-input-delta':
        grow(part.delta.length)
        break
      case 'tool-call': {
        if (part.providerExecuted === true) {
          addExecuted(part)
          break
        }
        const call: AssistantContent[number] = {
          type: 'tool-call',
          toolCallId: part.toolCallId,
          toolName: part.toolName,
          input: parseArgs(part),
        }
        content.push(call)
        keepMetadata(call, part)
        break
      }
      case 'tool-result':
        addExecuted(part)
        break
      case 'file': {
        if (part.data.type !== 'data') break
        const data = typeof part.data.data === 'string' ? part.data.data : Buffer.from(part.data.data).toString('base64')
        fileLength += data.length
        if (fileLength > MAX_FILES_LENGTH) throw new DomainError('upstream-error', 'The files in the reply of the model are too large.')
        files.push({ type: 'file', mediaType: part.mediaType, data, filename: `file-${files.length + 1}.${endingOf(part.mediaType)}` })
        break
      }
      case 'error':
        throw failed(part.error)
      case 'finish':
        finish = part
        break
    }
  }
  if (finish === undefined || finish.finishReason.unified === 'interrupted') throw failed(new BrokenOff())
  return { ...toReply(content, finish, model), ...(files.length === 0 ? {} : { files }) }
}

/** The connection ended properly, the answer did not. */
class BrokenOff extends Error {
  readonly code = 'BROKEN_OFF'
}

/** The last one counts, as in the SDK: Anthropic signs a block at its end, Gemini at any of its parts. */
function keepMetadata(block: AssistantContent[number], { providerMetadata }: Pick<Part<'text-end'>, 'providerMetadata'>) {
  if (providerMetadata !== undefined) block.providerOptions = providerMetadata
}

function parseArgs({ toolName, input }: Part<'tool-call'>): Record<string, unknown> {
  const args = input.trim() === '' ? {} : parseJson(input)
  if (typeof args !== 'object' || args === null || Array.isArray(args))
    throw new DomainError('upstream-error', `The model called ${toolName} with arguments that are no JSON object.`)
  return args as Record<string, unknown>
}

function toReply(content: AssistantContent, { finishReason, usage }: Part<'finish'>, model: string): ModelReply {
  const text = content.map((part) => (part.type === 'text' ? part.text : '')).join('')
  const toolCalls = content.flatMap((part) =>
    part.type === 'tool-call' && isCallToUs(part)
      ? [{ callId: part.toolCallId, name: part.toolName, args: part.input as Record<string, unknown> }]
      : [],
  )
  const code = codeParts(content)
  const providerState = keepContent(content, model)
  return {
    text,
    toolCalls,
    usage: {
      inputTokens: countOf(usage.inputTokens.total),
      outputTokens: countOf(usage.outputTokens.total),
      cachedInputTokens: countOf(usage.inputTokens.cacheRead),
      reasoningTokens: countOf(usage.outputTokens.reasoning),
    },
    // Some servers end a tool call with a reason of their own.
    finishReason: toolCalls.length > 0 && finishReason.unified === 'other' ? 'tool-calls' : finishReason.unified,
    ...(code.length === 0 ? {} : { code }),
    ...(providerState === undefined ? {} : { providerState }),
  }
}

/** The provider's word, where it can be one: a fraction, less than nothing or an absurd number would not fit the columns of the run. */
const countOf = (tokens = 0): number => (Number.isFinite(tokens) ? Math.min(Math.max(Math.round(tokens), 0), MAX_TOKENS) : 0)
