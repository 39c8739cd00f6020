import { DomainError, type FieldError, pointerPart } from '~/platform/errors'
import { ciphertextOf, hideInAddresses, MASK, mapTexts, maskOf, SEALED, sealedText } from '~/platform/secret-texts'
import type { Config } from './config-schemas'

/**
 * Secrets within a config: variables of MCP servers and tools, headers, values of HTTP tools, credentials of remote agents. At rest each is sealed; its
 * owner is shown `__secret__:` and the end of it, and sends that back for "as it was". Where they are found does not depend on the kind of agent.
 */

/** All texts below a key of this name are secrets. */
const SECRET_RECORDS = new Set(['envs', 'headers', 'values', 'auth'])
/** Of records within `auth`, what only says how the credential is sent. */
const NOT_SECRET = new Set(['type', 'in', 'name', 'header', 'headerName', 'scheme', 'schemes'])
/** Where the web frontend puts a copy of another agent, of which only the id is read. */
const EMBEDDED = 'agent'
const MAX_ERRORS = 20

type Identities = [exact: string, byName: string, byNumber: string]

interface Place {
  pointer: string
  /** What the secret is found by: its destination and name and number; destination and name, wherever in its list it stands; destination and number. */
  identities: Identities
}

/** A copy of the config with each secret replaced by what `replace` makes of it; undefined leaves it out. */
function mapSecrets(config: Config, replace: (text: string, place: Place) => string | undefined): Config {
  const walk = (value: unknown, pointer: string, path: Identities, within: string | undefined): unknown => {
    if (typeof value === 'string') return within === undefined || value === '' ? value : replace(value, { pointer, identities: path })
    if (value === null || typeof value !== 'object') return value
    if (Array.isArray(value))
      return value.map((item, index) => {
        const { name, destination } = identify(item)
        const [exact, byName, byNumber] = path.map((before) => `${before}/${destination}`) as Identities
        const at: Identities = [`${exact}/${name}/#${index}`, `${byName}/${name ?? `#${index}`}`, `${byNumber}/#${index}`]
        return walk(item, `${pointer}/${index}`, at, within)
      })
    const entries = Object.entries(value).flatMap(([key, item]): [string, unknown][] => {
      if (key === EMBEDDED) return [[key, item]]
      const inner = SECRET_RECORDS.has(key) ? key : within === 'auth' && NOT_SECRET.has(key) ? undefined : within
      const at = path.map((before) => `${before}/${key}`) as Identities
      const mapped = walk(item, `${pointer}/${pointerPart(key)}`, at, inner)
      return mapped === undefined ? [] : [[key, mapped]]
    })
    return Object.fromEntries(entries)
  }
  return walk(config, '/config', ['', '', ''], undefined) as Config
}

/** Who gets the secrets of a list's item: they are not kept for another host. */
function identify(item: unknown): { name: string | undefined; destination: string } {
  const { id, url, name, endpoint } = Object(item) as Record<string, unknown>
  const address = typeof url === 'string' ? url : typeof endpoint === 'string' ? endpoint : ''
  const origin = URL.canParse(address) ? new URL(address).origin : address
  return { name: [id, name, url].find((text) => typeof text === 'string') as string | undefined, destination: origin }
}

/** As the owner sees it. A list shows fifty at a time, and most hold nothing to hide: those are not copied. */
export const maskSecrets = (config: Config): Config =>
  hasPlaceForSecrets(config) ? withoutEmbedded(mapSecrets(config, maskOf), maskOf) : config

function hasPlaceForSecrets(value: unknown): boolean {
  if (value === null || typeof value !== 'object') return false
  if (Array.isArray(value)) return value.some(hasPlaceForSecrets)
  for (const key of Object.keys(value))
    if (key === EMBEDDED || SECRET_RECORDS.has(key) || hasPlaceForSecrets((value as Config)[key])) return true
  return false
}

/** As whoever may not change it sees it: who may reads its addresses as they are, and sends them back so. */
export const maskAddresses = <T>(value: T, mask = MASK): T =>
  // The same shape, with other texts.
  mapTexts(value, (text) => hideInAddresses(text, mask)) as T

/** Without the secrets that have a place of their own. */
export const blankSecrets = (config: Config): Config =>
  withoutEmbedded(
    mapSecrets(config, () => ''),
    () => '',
  )

/** From a file: a mask says nothing here. */
export const forgetMasks = (config: Config): Config => mapSecrets(config, (text) => (text.startsWith(MASK) ? '' : text))

/** Copies of other agents keep nothing that opens anything. */
function withoutEmbedded(config: Config, replace: (text: string) => string): Config {
  const walk = (value: unknown): unknown => {
    if (value === null || typeof value !== 'object') return value
    if (Array.isArray(value)) return value.map(walk)
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, key === EMBEDDED ? copy(item) : walk(item)]))
  }
  const copy = (agent: unknown): unknown => {
    const { config: inner } = Object(agent) as { config?: unknown }
    if (inner === null || typeof inner !== 'object' || Array.isArray(inner)) return agent
    const { api_key, ...rest } = inner as Config
    const replaced = withoutEmbedded(mapSecrets(rest, replace), replace)
    return { ...Object(agent), config: { ...replaced, ...(typeof api_key === 'string' ? { api_key: replace(api_key) } : {}) } }
  }
  return walk(config) as Config
}

/** For one run. Rows that came over from elsewhere may have secrets in clear until they are saved again. */
export async function openSecrets(config: Config, open: (sealed: string) => Promise<string>): Promise<Config> {
  const opened = await each(config, (text) => {
    const sealed = ciphertextOf(text)
    return sealed === undefined ? undefined : open(sealed)
  })
  return mapSecrets(config, (text) => opened.get(text) ?? text)
}

/**
 * As it is stored. A mask is replaced by what `before` holds in its place.
 * @throws DomainError `validation-failed` for a mask of a secret that is not there: it went to another host, or never was
 */
export async function sealSecrets(config: Config, before: Config, seal: (secret: string) => Promise<string>): Promise<Config> {
  const { restored, known, errors } = restoreSecrets(config, before)
  if (errors.length > 0) throw new DomainError('validation-failed', errors[0]?.message ?? '', { errors: errors.slice(0, MAX_ERRORS) })
  const kept = new Set(known.values())
  const sealed = await each(restored, (text) => (kept.has(text) && text.startsWith(SEALED) ? undefined : seal(text)))
  return mapSecrets(restored, (text) => {
    const made = sealed.get(text)
    return made === undefined ? text : sealedText(text, made)
  })
}

/** The masks that `sealSecrets` would refuse. */
export const maskFaults = (config: Config, before: Config): FieldError[] => restoreSecrets(config, before).errors.slice(0, MAX_ERRORS)

function restoreSecrets(config: Config, before: Config) {
  const known = knownSecrets(before)
  const errors: FieldError[] = []
  const restored = mapSecrets(withoutEmbedded(config, maskOf), (text, { pointer, identities }) => {
    if (!text.startsWith(MASK)) return text
    const kept = identities.map((identity) => known.get(identity)).find((found) => found !== undefined)
    if (kept === undefined) errors.push({ pointer, code: 'required', message: 'There is no stored secret here to be kept: send its value' })
    return kept ?? text
  })
  return { restored, known, errors }
}

function knownSecrets(config: Config): Map<string, string> {
  const known = new Map<string, string>()
  mapSecrets(config, (text, { identities }) => {
    for (const identity of identities) if (!known.has(identity)) known.set(identity, text)
    return text
  })
  return known
}

/** What becomes of each different secret, looked after once. */
async function each(config: Config, work: (text: string) => Promise<string> | undefined): Promise<Map<string, string>> {
  const results = new Map<string, Promise<string>>()
  mapSecrets(config, (text) => {
    const result = results.has(text) ? undefined : work(text)
    if (result !== undefined) results.set(text, result)
    return text
  })
  return new Map(await Promise.all([...results].map(async ([text, result]) => [text, await result] as const)))
}
