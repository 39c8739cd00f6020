import Ajv2020, { type ValidateFunction } from 'ajv/dist/2020'
import addFormats from 'ajv-formats'

interface Answer {
  content?: Record<string, { schema?: object }>
}
/** Written in place, or once among the components. */
type AnswerOrRef = Answer & { $ref?: string }
export interface ApiDocument {
  paths: Record<string, Record<string, { responses: Record<string, AnswerOrRef> }>>
  components?: { responses?: Record<string, Answer> }
}

interface Operation {
  pattern: RegExp
  method: string
  /** How specific its path is: `/sessions/client/{id}` wins over `/sessions/{id}/messages`. */
  literals: number
  responses: Record<string, AnswerOrRef>
  pointer: string
}

export type CheckAnswer = ReturnType<typeof createAnswerCheck>

/** One for each text of the document: most apps of a test run have the same. */
const known = new Map<string, CheckAnswer>()

/** Holds answers against the API document that the app itself serves. */
export function answerCheckOf(document: ApiDocument): CheckAnswer {
  const text = JSON.stringify(document)
  const before = known.get(text)
  if (before !== undefined) return before
  const check = createAnswerCheck(document)
  known.set(text, check)
  return check
}

function createAnswerCheck(document: ApiDocument) {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: true })
  addFormats(ajv)
  ajv.addSchema(document, 'document')
  const compiled = new Map<string, ValidateFunction>()
  const operations = Object.entries(document.paths)
    .flatMap(([path, item]) =>
      Object.entries(item).map(
        ([method, { responses }]): Operation => ({
          pattern: new RegExp(
            `^${path
              .replace(/\/$/, '')
              .replaceAll('.', '\\.')
              .replaceAll(/\{[^}]+\}/g, '[^/]+')}/?$`,
          ),
          method: method.toUpperCase(),
          literals: path.split('/').filter((part) => part !== '' && !part.startsWith('{')).length,
          responses,
          pointer: `/paths/${toPointer(path)}/${method}/responses`,
        }),
      ),
    )
    .toSorted((a, b) => b.literals - a.literals)

  /** @throws Error when the answer is not what the document says about this route and status. */
  return (method: string, target: string, answer: { status: number; mediaType: string; body: unknown }) => {
    const [path = ''] = target.split('?')
    const operation = operations.find((one) => one.method === method && one.pattern.test(path))
    if (operation === undefined) return
    const { status, mediaType, body } = answer
    const code = operation.responses[status] === undefined ? 'default' : String(status)
    const inPlace = operation.responses[code]
    const shared = inPlace?.$ref?.split('/').at(-1)
    const documented = shared === undefined ? inPlace : document.components?.responses?.[shared]
    const where = `${method} ${path} answered ${status}`
    if (documented === undefined || (status < 300 && code === 'default')) throw new Error(`${where}, which the API document does not know`)
    const offered = Object.keys(documented.content ?? {})
    if (body === '' && offered.length === 0) return
    if (!offered.includes(mediaType) && !offered.includes('*/*'))
      throw new Error(`${where} as ${mediaType || 'nothing'}; the API document says ${offered.join(', ') || 'nothing'}`)
    if (!mediaType.includes('json')) return
    const at = shared === undefined ? `${operation.pointer}/${code}` : `/components/responses/${shared}`
    const pointer = `document#${at}/content/${toPointer(mediaType)}/schema`
    const validate = compiled.get(pointer) ?? ajv.compile({ $ref: pointer })
    compiled.set(pointer, validate)
    if (!validate(body)) throw new Error(`${where}, not as the API document says: ${ajv.errorsText(validate.errors, { dataVar: '' })}`)
  }
}

/** RFC 6901, and what of it a URI reference does not take as it is. */
const toPointer = (key: string) => encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'))
