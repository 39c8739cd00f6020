import type { LanguageModelV4StreamPart } from '@ai-sdk/provider'
import { parseJson } from '../tools/parse-json'
import type { AssistantContent } from './provider-state'
import type { CodePart } from './types'

type Executed = Extract<LanguageModelV4StreamPart, { type: 'tool-call' | 'tool-result' }>

/** The SDK's name for what Gemini runs by itself, asked or not. */
const CODE_EXECUTION = 'code_execution'

/**
 * What the provider did on its own side as content of the reply, to be sent back as it was. Undefined for what is no execution of code: other tools
 * of that kind are never asked for here, and nobody could send them back.
 */
export function executedContent(part: Executed): AssistantContent[number] | undefined {
  const { type, toolCallId, toolName } = part
  if (toolName !== CODE_EXECUTION) return undefined
  if (type === 'tool-call') return { type, toolCallId, toolName, input: parseJson(part.input), providerExecuted: true }
  return { type, toolCallId, toolName, output: { type: 'json', value: part.result } }
}

/** The same as it is shown. The SDK has checked its form. */
export const codeParts = (content: AssistantContent): CodePart[] =>
  content.flatMap((part): CodePart[] => {
    if (part.type === 'tool-call' && part.providerExecuted === true) return [{ executable_code: part.input as Code }]
    if (part.type === 'tool-result' && part.output.type === 'json') return [{ code_execution_result: part.output.value as Result }]
    return []
  })

type Code = Extract<CodePart, { executable_code: unknown }>['executable_code']
type Result = Extract<CodePart, { code_execution_result: unknown }>['code_execution_result']
