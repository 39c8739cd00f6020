import { DomainError, type FieldError, pointerPart } from './errors'
import { ciphertextOf, looksSecret, MASK, maskOf, SEALED, sealedText } from './secret-texts'
import type { PlatformSecrets } from './secrets'

/**
 * Secrets within the `config_json` of the catalogues: environment, headers and values that are no placeholders, the query of an address, and those
 * arguments of a command that look like one or follow an option that names one. The catalogues belong to no client, so they are sealed under the
 * platform's key. Rows of old may hold them in clear until `keys:rewrap`.
 */
type ConfigJson = Record<string, unknown>

const SECRET_RECORDS = ['env', 'headers', 'values']
const ADDRESSES = ['url', 'endpoint']
/** `--api-key=…`, or `--api-key` with its value behind it. */
const NAMES_SECRET = /^(?:--?[\w-]{0,60}(?:token(?!s)|secret|passw|key(?![a-z])|credential|authorization|header)[\w-]{0,60}|-H)(=|$)/i
/** Stands for what each agent supplies. */
const PLACEHOLDER = /^env@@[A-Za-z_][A-Za-z0-9_]*$/
const HIDDEN = '***'
const MAX_ERRORS = 20

/** A copy with each secret replaced. `pointer` is one into the config. */
function mapSecrets(config: ConfigJson, replace: (text: string, pointer: string) => string): ConfigJson {
  const walk = (value: unknown, pointer: string): unknown => {
    if (typeof value === 'string') return value === '' || PLACEHOLDER.test(value) ? value : replace(value, pointer)
    if (value === null || typeof value !== 'object') return value
    if (Array.isArray(value)) return value.map((item, index) => walk(item, `${pointer}/${index}`))
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, walk(item, `${pointer}/${pointerPart(key)}`)]))
  }
  const mapped = { ...config }
  for (const record of SECRET_RECORDS) if (Object.hasOwn(config, record)) mapped[record] = walk(config[record], `/${record}`)
  for (const key of ADDRESSES) {
    const address = config[key]
    const query = typeof address === 'string' ? address.indexOf('?') + 1 : 0
    if (typeof address === 'string' && query > 0) mapped[key] = address.slice(0, query) + walk(address.slice(query), `/${key}`)
  }
  const { args } = config
  if (Array.isArray(args))
    mapped.args = args.map((arg, index) => {
      const at = secretIn(args, index)
      return at === undefined ? arg : arg.slice(0, at) + walk(arg.slice(at), `/args/${index}`)
    })
  return mapped
}

/** Where the secret begins in an argument that holds one. */
function secretIn(args: unknown[], index: number): number | undefined {
  const [before, arg] = [args[index - 1], args[index]]
  if (typeof arg !== 'string') return undefined
  const named = NAMES_SECRET.exec(arg)
  if (named?.[1] === '=') return named[0].length
  const isValue = typeof before === 'string' && NAMES_SECRET.exec(before)?.[1] === ''
  return (isValue && !arg.startsWith('-')) || arg.startsWith(SEALED) || arg.startsWith(MASK) || looksSecret(arg) ? 0 : undefined
}

export const openConfig = (secrets: PlatformSecrets, context: string, stored: ConfigJson): ConfigJson =>
  mapSecrets(stored, (text) => {
    const sealed = ciphertextOf(text)
    return sealed === undefined ? text : secrets.open(context, sealed)
  })

/** `context` names the row. What is sealed already stays as it is. */
export const sealConfig = (secrets: PlatformSecrets, context: string, config: ConfigJson): ConfigJson =>
  mapSecrets(config, (text) => (ciphertextOf(text) === undefined ? sealedText(text, secrets.seal(context, text)) : text))

/** The same under the newest key, what is in clear included; undefined where nothing is to be done. @throws DomainError `secret-unavailable` */
export function resealConfig(secrets: PlatformSecrets, context: string, stored: ConfigJson): ConfigJson | undefined {
  let changed = false
  const resealed = mapSecrets(stored, (text) => {
    const sealed = ciphertextOf(text)
    const anew = sealed === undefined ? secrets.seal(context, text) : secrets.reseal(context, sealed)
    if (anew === undefined) return text
    changed = true
    return sealedText(sealed === undefined ? text : secrets.open(context, sealed), anew)
  })
  return changed ? resealed : undefined
}

/** As an admin sees it. */
export const maskConfig = (stored: ConfigJson): ConfigJson => mapSecrets(stored, maskOf)

/** As everybody else sees it: names and placeholders stay, so that an agent's owner knows what to supply. */
export function hideConfig(stored: ConfigJson): ConfigJson {
  const hidden = (value: unknown) =>
    Object.fromEntries(
      Object.entries(Object(value)).map(([name, text]) => [name, typeof text === 'string' && PLACEHOLDER.test(text) ? text : HIDDEN]),
    )
  const records = SECRET_RECORDS.filter((record) => Object.hasOwn(stored, record)).map((record) => [record, hidden(stored[record])])
  const addresses = ADDRESSES.flatMap((key) => (typeof stored[key] === 'string' ? [[key, stored[key].split('?')[0]]] : []))
  return { ...mapSecrets(stored, () => HIDDEN), ...Object.fromEntries([...records, ...addresses]) }
}

/**
 * What was sent in clear, its masks replaced by what is stored in their place.
 * @throws DomainError `validation-failed` for a mask of a secret that is not there, or that would go to another destination than before
 */
export function restoreConfig(secrets: PlatformSecrets, context: string, sent: ConfigJson, stored: ConfigJson | undefined): ConfigJson {
  const known = new Map<string, string>()
  if (stored !== undefined && destinationOf(stored) === destinationOf(sent))
    mapSecrets(stored, (text, pointer) => noted(known, pointer, text))
  const errors: FieldError[] = []
  const restored = mapSecrets(sent, (text, pointer) => {
    if (ciphertextOf(text) !== undefined)
      errors.push({ pointer: `/config_json${pointer}`, code: 'invalid', message: 'A value cannot begin like this' })
    if (!text.startsWith(MASK)) return text
    const kept = known.get(pointer)
    if (kept === undefined)
      errors.push({
        pointer: `/config_json${pointer}`,
        code: 'required',
        message: 'There is no stored secret here to be kept: send its value',
      })
    return kept ?? text
  })
  if (errors.length > 0) throw new DomainError('validation-failed', errors[0]?.message ?? '', { errors: errors.slice(0, MAX_ERRORS) })
  return openConfig(secrets, context, restored)
}

function noted(known: Map<string, string>, pointer: string, text: string): string {
  known.set(pointer, text)
  return text
}

/** Who gets the secrets: an origin, or a command with what it runs, in whatever version. */
function destinationOf({ url, endpoint, command, args }: ConfigJson): string {
  const address = [url, endpoint].find((text) => typeof text === 'string')
  if (typeof address === 'string') return URL.canParse(address) ? new URL(address).origin : address
  const words = Array.isArray(args)
    ? args.map((arg, index) =>
        String(arg)
          .slice(0, secretIn(args, index))
          .replace(/(?<=.)@[^@/]+$/, ''),
      )
    : []
  return JSON.stringify([command ?? 'npx', ...words])
}
