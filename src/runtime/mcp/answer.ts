import type { CallToolResult } from '@modelcontextprotocol/client'
import { toolError } from '../tools/tool'

type Block = CallToolResult['content'][number]

/**
 * A tool's answer as the model reads it, and as the web frontend shows it (`result.content[].text`). Bytes are named, not repeated: a model cannot
 * read base64, and a run's rows are no place for it.
 */
export function toAnswer({
  content,
  structuredContent,
  isError,
}: Pick<CallToolResult, 'content' | 'structuredContent' | 'isError'>): unknown {
  const blocks = content.map(toBlock)
  // Servers repeat structured content as text, for those who read only that.
  if (structuredContent !== undefined && !blocks.some(({ type }) => type === 'text'))
    blocks.push({ type: 'text', text: JSON.stringify(structuredContent) })
  if (isError !== true) return { result: { content: blocks } }
  const message = blocks.flatMap((block) => ('text' in block ? [block.text] : [])).join('\n')
  return toolError(message === '' ? 'The tool failed without a word.' : message)
}

type Shown =
  | { type: 'text'; text: string }
  | { type: string; mime_type: string; bytes: number }
  | { type: 'link'; uri: string; name: string }

function toBlock(block: Block): Shown {
  switch (block.type) {
    case 'text':
      return { type: 'text', text: block.text }
    case 'image':
    case 'audio':
      return { type: block.type, mime_type: block.mimeType, bytes: Math.floor((block.data.length * 3) / 4) }
    case 'resource_link':
      return { type: 'link', uri: block.uri, name: block.name }
    case 'resource':
      return 'text' in block.resource
        ? { type: 'text', text: block.resource.text }
        : {
            type: 'file',
            mime_type: block.resource.mimeType ?? 'application/octet-stream',
            bytes: Math.floor((block.resource.blob.length * 3) / 4),
          }
  }
}
