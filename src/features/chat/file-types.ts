import { invalid } from '~/platform/errors'

/** How files of these types begin, in Latin-1. What begins otherwise is something else under a false name. */
const BEGINNINGS: Record<string, RegExp> = {
  'image/png': /^.PNG\r\n/,
  'image/jpeg': /^\xff\xd8\xff/,
  'image/gif': /^GIF8[79]a/,
  'image/webp': /^RIFF[\s\S]{4}WEBP/,
  // A PDF may have anything in its first kilobyte.
  'application/pdf': /%PDF-/,
}
const LOOKED_AT_BASE64 = 1368

/** @throws DomainError `validation-failed` for a file that is not what its `content_type` says */
export function checkFileTypes(files: readonly { content_type: string; data: string }[]): void {
  for (const [index, { content_type, data }] of files.entries()) {
    const beginning = BEGINNINGS[content_type.toLowerCase()]
    if (beginning === undefined) continue
    const bytes = Buffer.from(data.slice(0, LOOKED_AT_BASE64), 'base64').toString('latin1')
    if (!beginning.test(bytes)) throw invalid(`/files/${index}/content_type`, 'mismatch', 'The file is not of the type it claims to be')
  }
}
