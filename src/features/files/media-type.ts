import { invalid } from '~/platform/errors'

/** How files of these types begin, in Latin-1. What begins otherwise is something else under a false name. */
const BEGINNINGS: Record<string, RegExp> = {
  'image/png': /^\x89PNG\r\n/,
  'image/jpeg': /^\xff\xd8\xff/,
  'image/gif': /^GIF8[79]a/,
  'image/webp': /^RIFF[\s\S]{4}WEBP/,
  // Anywhere in the first kilobyte.
  'application/pdf': /%PDF-/,
}
/** In base64: a kilobyte and a bit. */
const LOOKED_AT = 1368

/** @param data base64. @throws DomainError `validation-failed` for bytes that are not what the type says */
export function checkMediaType(mediaType: string, data: string, pointer: string) {
  const type = mediaType.toLowerCase()
  const beginning = BEGINNINGS[type]
  const start = Buffer.from(data.slice(0, LOOKED_AT), 'base64').toString('latin1')
  if (beginning !== undefined && !beginning.test(start)) throw invalid(pointer, 'mismatch', 'The file is not of the type it claims to be')
  if (isText(type) && start.includes('\0')) throw invalid(pointer, 'mismatch', 'The file is not of the type it claims to be')
}

const isText = (type: string) => type.startsWith('text/') || type === 'application/json'
