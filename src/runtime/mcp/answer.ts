import type { CallToolResult } from '@modelcontextprotocol/client'
import { DomainError } from '~/platform/errors'
import { endingOf } from '../file-ending'
import type { FilePart } from '../model/types'
import { parseJson } from '../tools/parse-json'
import { type KeepFile, toolError } from '../tools/tool'

type Block = CallToolResult['content'][number]

/** Of one answer. */
const MAX_FILES = 10

/**
 * A tool's answer as the model reads it, and as the web frontend shows it (`result.content[].text`). Bytes become files of the conversation and are
 * named, not repeated: a model cannot read base64, and a run's rows are no place for it.
 */
export async function toAnswer(
  { content, structuredContent, isError }: Pick<CallToolResult, 'content' | 'structuredContent' | 'isError'>,
  { tool, keep }: { tool: string; keep: KeepFile | undefined },
): Promise<unknown> {
  const blocks: Shown[] = []
  let count = 0
  for (const block of content) {
    const file = fileOf(block)
    blocks.push(file === undefined ? toBlock(block) : await keepBlock(file, tool, ++count, keep))
  }
  // Most servers repeat structured content as text, for those who read only that; of some the text is a mere summary.
  if (structuredContent !== undefined && !blocks.some((block) => 'text' in block && repeats(block.text, structuredContent)))
    blocks.push({ type: 'text', text: JSON.stringify(structuredContent) })
  if (isError !== true) return { result: { content: blocks } }
  const message = blocks.flatMap((block) => ('text' in block ? [block.text] : [])).join('\n')
  return toolError(message === '' ? 'The tool failed without a word.' : message)
}

/** Whole, or alone in an object, as texts and numbers must be put to be structured content. */
function repeats(text: string, structured: object | null): boolean {
  const values: unknown[] = Object.values(structured ?? {})
  const said = parseJson(text)
  return [structured, ...(values.length === 1 ? values : [])].some((value) => value === text || Bun.deepEquals(value, said))
}

interface SentFile {
  type: 'image' | 'audio' | 'file'
  mediaType: string
  data: string
  name?: string | undefined
}

type Shown =
  | { type: 'text'; text: string }
  | { type: SentFile['type']; mime_type: string; bytes: number; filename?: string; version?: number; uri?: string; not_kept?: string }
  | { type: 'link'; uri: string; name: string }

function fileOf(block: Block): SentFile | undefined {
  if (block.type === 'image' || block.type === 'audio') return { type: block.type, mediaType: block.mimeType, data: block.data }
  if (block.type !== 'resource' || 'text' in block.resource) return undefined
  const { uri, mimeType = 'application/octet-stream', blob } = block.resource
  return { type: 'file', mediaType: mimeType, data: blob, name: nameIn(uri) }
}

function toBlock(block: Block): Shown {
  if (block.type === 'text') return { type: 'text', text: block.text }
  if (block.type === 'resource_link') return { type: 'link', uri: block.uri, name: block.name }
  // Others hold bytes, and were kept.
  return { type: 'text', text: block.type === 'resource' && 'text' in block.resource ? block.resource.text : '' }
}

/** What cannot be kept is said with its reason: the tool has done its work all the same. */
async function keepBlock(file: SentFile, tool: string, number: number, keep: KeepFile | undefined): Promise<Shown> {
  const { type, mediaType, data, name } = file
  const told = { type, mime_type: mediaType, bytes: Math.floor((data.length * 3) / 4) }
  if (keep === undefined) return told
  if (number > MAX_FILES) return { ...told, not_kept: `Of one answer ${MAX_FILES} files are kept.` }
  if (!MEDIA_TYPE.test(mediaType)) return { ...told, not_kept: 'Its media type is none.' }
  const part: FilePart = { type: 'file', mediaType, data, filename: name ?? `${tool}-${number}.${endingOf(mediaType)}` }
  try {
    const { filename = '', kept } = await keep(part)
    return { ...told, filename, ...(kept && { version: kept.version, uri: kept.uri }) }
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    return { ...told, not_kept: error.message }
  }
}

const MEDIA_TYPE = /^[\w.+-]{1,100}\/[\w.+-]{1,100}$/

/** The last part of an address, as far as it may be a file's name. */
function nameIn(uri: string): string | undefined {
  const name = /([^/\\?#]+)(?:[?#].*)?$/
    .exec(uri)?.[1]
    ?.replace(/[^\p{L}\p{N} ._-]/gu, '_')
    .slice(-100)
  return name === undefined || /^\.*$/.test(name) ? undefined : name
}
