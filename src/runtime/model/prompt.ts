import type {
  LanguageModelV4FunctionTool,
  LanguageModelV4Message,
  LanguageModelV4Prompt,
  LanguageModelV4ToolResultOutput,
} from '@ai-sdk/provider'
import { restoreContent } from './provider-state'
import type { AssistantMessage, FilePart, ModelMessage, ModelRequest, ToolDeclaration, ToolMessage } from './types'

type Content<Role extends LanguageModelV4Message['role']> = Extract<LanguageModelV4Message, { role: Role }>['content']

/** Our messages in the SDK's form. Parts and messages without content are left out: providers refuse them. */
export function toPrompt({ model, system, messages }: Pick<ModelRequest, 'model' | 'system' | 'messages'>): LanguageModelV4Prompt {
  const prompt: LanguageModelV4Prompt = system === undefined || system === '' ? [] : [{ role: 'system', content: system }]
  for (const message of messages) {
    const converted = toMessage(message, model)
    if (converted.content.length > 0) prompt.push(converted)
  }
  return prompt
}

export const toTools = (tools: ToolDeclaration[]): LanguageModelV4FunctionTool[] =>
  tools.map(({ name, description, inputSchema }) => ({
    type: 'function',
    name,
    description,
    // A schema that came as JSON: what it says is between its author and the provider.
    inputSchema: inputSchema as LanguageModelV4FunctionTool['inputSchema'],
  }))

function toMessage(message: ModelMessage, model: string): LanguageModelV4Message {
  switch (message.role) {
    case 'user':
      return {
        role: 'user',
        content: message.parts.flatMap((part): Content<'user'> => (part.type === 'file' ? [toFile(part)] : part.text === '' ? [] : [part])),
      }
    case 'assistant':
      return { role: 'assistant', content: restoreContent(message.providerState, model) ?? toAssistantContent(message) }
    case 'tool':
      return { role: 'tool', content: message.parts.map(toToolResult) }
  }
}

const toAssistantContent = ({ parts }: AssistantMessage) =>
  parts.flatMap((part): Content<'assistant'> => {
    if (part.type === 'tool-call') return [{ type: 'tool-call', toolCallId: part.callId, toolName: part.name, input: part.args }]
    return part.text === '' ? [] : [part]
  })

/** Text files go in as text: OpenAI's chat refuses them as files, and the others read them the same way. */
function toFile({ mediaType, data, filename }: FilePart): Content<'user'>[number] {
  if (mediaType.startsWith('text/') || mediaType === 'application/json') {
    return { type: 'text', text: `File ${filename ?? 'without a name'}:\n${Buffer.from(data, 'base64').toString('utf8')}` }
  }
  return { type: 'file', mediaType, data: { type: 'data', data }, ...(filename === undefined ? {} : { filename }) }
}

const toToolResult = ({ callId, name, result, isError = false }: ToolMessage['parts'][number]): Content<'tool'>[number] => ({
  type: 'tool-result',
  toolCallId: callId,
  toolName: name,
  output: toOutput(result, isError),
})

function toOutput(result: unknown, isError: boolean): LanguageModelV4ToolResultOutput {
  if (typeof result === 'string') return { type: isError ? 'error-text' : 'text', value: result }
  // Results are journalled, hence JSON; only `undefined` has no spelling there.
  const value = (result ?? null) as Extract<LanguageModelV4ToolResultOutput, { type: 'json' }>['value']
  return { type: isError ? 'error-json' : 'json', value }
}
