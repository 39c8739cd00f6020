/** The JSON of what a model is told, without the data of its files, which may be as large as all else is small; and how much data that is. */
export function jsonWithoutFiles(value: unknown): { json: string; fileBytes: number } {
  let fileBytes = 0
  const json = JSON.stringify(value, (_name, part: unknown) => {
    if (!isFile(part)) return part
    fileBytes += part.data.length
    return { ...part, data: '' }
  })
  return { json, fileBytes }
}

const isFile = (part: unknown): part is { type: 'file'; data: string } =>
  part !== null &&
  typeof part === 'object' &&
  'type' in part &&
  part.type === 'file' &&
  'data' in part &&
  typeof part.data === 'string' &&
  part.data !== ''
