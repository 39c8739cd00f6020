import { Elysia } from 'elysia'
import { DomainError, pointerPart } from '../errors'
import { type BodyLimits, bodyLimit, tooLarge } from './body-limit'
import { pathOf } from './problems'

/** Before routing: whether path and query are well-formed and the declared body fits. After CORS, so that a browser may read the refusal. */
export const target = (limits: BodyLimits) =>
  new Elysia({ name: 'target' }).onRequest(({ request, set }) => {
    const { url, method, headers } = request
    const path = pathOf(url)
    checkPath(path)
    // A fragment belongs to the client; the router would take it for a part of the path.
    if (url.includes('#')) throw malformed('The request target holds a fragment.')
    const queryAt = url.indexOf('?')
    if (queryAt !== -1) checkQuery(url.slice(queryAt + 1))
    const declared = headers.get('content-length')
    if (declared !== null && Number(declared) > bodyLimit(limits, path)) throw tooLarge()
    // Nobody reads it, and it may have no end.
    if ((method === 'GET' || method === 'HEAD') && headers.has('transfer-encoding')) set.headers.connection = 'close'
  })

function checkPath(path: string) {
  // `*` and the authority that CONNECT names.
  if (!path.startsWith('/')) throw malformed('The request target is not a path.')
  if (!path.includes('%')) return
  if (hasControl(decode(path, 'path'))) throw refused('/path', 'The path holds a control character.')
}

function checkQuery(query: string) {
  if (query === '') return
  const names = new Set<string>()
  for (const pair of query.split('&')) {
    const at = pair.indexOf('=')
    const name = decode(at === -1 ? pair : pair.slice(0, at), 'query')
    if (hasControl(name) || (at !== -1 && hasControl(decode(pair.slice(at + 1), 'query'))))
      throw refused('/query', 'The query holds a control character.')
    if (names.has(name)) throw refused(`/query/${pointerPart(name, MAX_NAME_SHOWN)}`, 'This parameter was given twice.')
    names.add(name)
  }
}

/** Plus signs stay: they matter to no check. */
function decode(text: string, place: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw malformed(`The ${place} is not valid percent-encoded UTF-8.`, cause)
  }
}

/** Of a parameter's name, which is the caller's and may be of any length. */
const MAX_NAME_SHOWN = 40

const malformed = (detail: string, cause?: unknown) => new DomainError('malformed-request', detail, { cause })
const refused = (pointer: string, message: string) =>
  new DomainError('validation-failed', message, { errors: [{ pointer, code: 'invalid', message }] })

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const hasControl = (text: string) => /[\u0000-\u001f\u007f-\u009f]/.test(text)
