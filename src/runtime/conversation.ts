import type { AssistantMessage, FilePart, ModelMessage, ModelReply, ToolCall, ToolMessage, UserMessage } from './model/types'
import type { AgentEvent, Part, RunInput } from './types'

/** The history as the model reads it: what other agents said is told to it as the user's words, so that roles keep alternating. */
export function toMessages(history: AgentEvent[], self: string): ModelMessage[] {
  return history.flatMap((event): ModelMessage[] => {
    if (isAside(event)) return []
    if (event.author === 'user') return [userMessage(event.content.parts)]
    if (event.author !== self) return quoted(event)
    const responses = event.content.parts.filter(({ function_response }) => function_response !== undefined)
    return responses.length > 0 ? [toolMessage(responses)] : [assistantMessage(event.content.parts)]
  })
}

/** It tells about the way, and is no part of the conversation: no answer, and nothing that a model hears. */
export const isAside = ({ actions }: Pick<AgentEvent, 'actions'>) => actions?.report === true || actions?.notice !== undefined

/**
 * A history as providers take it, who refuse any other: it begins with the user, and each call has its result behind it. Neither is so where the history is
 * cut off at its beginning, where a turn ended in the middle of a call, or where another branch spoke between the two.
 */
export function wellFormed(messages: ModelMessage[]): ModelMessage[] {
  const spoken = messages.filter(({ role }) => role !== 'tool')
  const whole = spoken[0]?.role === 'assistant' ? [EARLIER] : []
  for (const message of spoken) {
    whole.push(message)
    if (message.role !== 'assistant') continue
    const calls = message.parts.filter((part) => part.type === 'tool-call')
    if (calls.length > 0) whole.push({ role: 'tool', parts: resultsOf(calls, messages.slice(messages.indexOf(message) + 1)) })
  }
  return whole
}

const EARLIER: ModelMessage = { role: 'user', parts: [{ type: 'text', text: '[What was said before is not shown.]' }] }

/** Of these calls, in their order, from what follows them. */
function resultsOf(calls: ToolCall[], following: ModelMessage[]): ToolMessage['parts'] {
  const next = following.findIndex(({ role }) => role === 'assistant')
  const results = following
    .slice(0, next === -1 ? undefined : next)
    .flatMap((message): ToolMessage['parts'] => (message.role === 'tool' ? message.parts : []))
  return calls.map(({ callId, name }, index) => {
    const own = results[index]?.callId === callId ? results[index] : results.find((result) => result.callId === callId)
    return own ?? { type: 'tool-result', callId, name, result: CUT_OFF, isError: true }
  })
}

const CUT_OFF = { error: 'cut_off', message: 'The turn ended before the call did; what came of it is unknown.' }

/** A model answers somebody: where its own words came last, it is told to go on. */
export const toBeAnswered = (messages: ModelMessage[]): ModelMessage[] =>
  messages.at(-1)?.role === 'assistant'
    ? [...messages, { role: 'user', parts: [{ type: 'text', text: 'Go on as you were instructed, or finish with a summary.' }] }]
    : messages

/** What the user sent, as an event of the session; a file whose bytes are kept elsewhere is named there with its version. */
export function userEvent({ text, files }: RunInput): Pick<AgentEvent, 'content' | 'actions'> {
  const actions = artifactDelta(files)
  return { content: { role: 'user', parts: [{ text }, ...files.map(filePart)] }, ...(actions && { actions }) }
}

/** Says which version of which file an event brings. Undefined where it brings none. */
export function artifactDelta(files: FilePart[]): { artifact_delta: Record<string, number> } | undefined {
  const kept = files.flatMap(({ kept, filename = 'file' }) => (kept === undefined ? [] : [[filename, kept.version] as const]))
  return kept.length === 0 ? undefined : { artifact_delta: Object.fromEntries(kept) }
}

export const filePart = ({ data, mediaType, filename, kept }: FilePart): Part =>
  kept !== undefined && data === ''
    ? { file_data: { id: kept.id, file_uri: kept.uri, mime_type: mediaType, display_name: filename ?? 'file' } }
    : { inline_data: { data, mime_type: mediaType, ...(filename === undefined ? {} : { metadata: { filename } }) } }

export const replyParts = ({ text, toolCalls, code = [], providerState }: ModelReply): Part[] => [
  ...code,
  ...(text !== '' || toolCalls.length === 0 ? [{ text }] : []),
  ...toolCalls.map(({ callId, name, args }) => ({ function_call: { id: callId, name, args } })),
  ...(providerState === undefined ? [] : [{ provider_state: providerState }]),
]

export function userMessage(parts: Part[]): UserMessage {
  return {
    role: 'user',
    parts: parts.flatMap((part): UserMessage['parts'] => {
      if (part.text !== undefined) return [{ type: 'text', text: part.text }]
      if (part.file_data !== undefined) return [{ type: 'text', text: `[A file that is not shown again: ${part.file_data.display_name}]` }]
      if (part.inline_data === undefined) return []
      const { data, mime_type, metadata } = part.inline_data
      return [{ type: 'file', mediaType: mime_type, data, ...(metadata?.filename === undefined ? {} : { filename: metadata.filename }) }]
    }),
  }
}

export function assistantMessage(parts: Part[]): AssistantMessage {
  const state = parts.find(({ provider_state }) => provider_state !== undefined)
  return {
    role: 'assistant',
    parts: parts.flatMap((part): AssistantMessage['parts'] => {
      if (part.text !== undefined) return part.text === '' ? [] : [{ type: 'text', text: part.text }]
      if (part.function_call === undefined) return []
      return [{ type: 'tool-call', callId: part.function_call.id, name: part.function_call.name, args: part.function_call.args }]
    }),
    ...(state === undefined ? {} : { providerState: state.provider_state }),
  }
}

export const toolMessage = (parts: Part[]): ToolMessage => ({
  role: 'tool',
  parts: parts.flatMap(({ function_response: answer }) =>
    answer === undefined
      ? []
      : [
          {
            type: 'tool-result' as const,
            callId: answer.id,
            name: answer.name,
            result: answer.response,
            isError: 'error' in answer.response,
          },
        ],
  ),
})

function quoted({ author, content }: AgentEvent): UserMessage[] {
  const text = content.parts.map((part) => part.text ?? '').join('')
  return text === '' ? [] : [{ role: 'user', parts: [{ type: 'text', text: `[${author}] said: ${text}` }] }]
}

export const textOf = ({ content }: Pick<AgentEvent, 'content'>): string => content.parts.map(({ text }) => text ?? '').join('')

/** The newest event's text that has one. */
export const lastText = (events: AgentEvent[]): string | undefined =>
  events
    .findLast((event) => textOf(event) !== '' && event.author !== 'user')
    ?.content.parts.flatMap(({ text }) => text ?? [])
    .join(' ')
