import { DomainError, invalid } from '../errors'
import { hasControl } from './control-characters'

const MAX_FIELDS = 20

/**
 * A form of texts and files, files as `{name, text}`. It comes whole and bounded.
 * @throws DomainError `malformed-request` for what is no form, or a file that is no UTF-8; `validation-failed` for a field that is given twice
 */
export async function parseForm(bytes: Uint8Array, contentType: string): Promise<Record<string, unknown>> {
  const form = await new Response(bytes, { headers: { 'content-type': contentType } }).formData().catch((cause: unknown) => {
    throw new DomainError('malformed-request', 'The form could not be parsed.', { cause })
  })
  const entries = [...form.entries()]
  if (entries.length > MAX_FIELDS) throw invalid('', 'length', `A form has at most ${MAX_FIELDS} fields`)
  const fields = new Map<string, unknown>()
  for (const [name, value] of entries) {
    if (fields.has(name)) throw invalid(`/${name.slice(0, 40)}`, 'duplicate', 'This field was given twice')
    fields.set(name, typeof value === 'string' ? checked(name, value) : { name: nameOf(value), text: decode(await value.bytes()) })
  }
  return Object.fromEntries(fields)
}

/** A browser sends an empty name where no file was chosen, and Bun then gives none. */
const nameOf = ({ name }: { name?: string }): string => (name ?? '').slice(0, 255)

function checked(name: string, text: string): string {
  if (hasControl(text)) throw invalid(`/${name.slice(0, 40)}`, 'control-character', 'A text holds characters that are not allowed.')
  return text
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new DomainError('malformed-request', 'The file is not valid UTF-8.', { cause })
  }
}
