import { redactText } from '~/platform/log'
import { MAX_PASSWORD_BYTES, MAX_PASSWORD_LENGTH } from '~/platform/passwords/bounds'

/** One setting as the documentation shows it. */
export interface Setting {
  name: string
  /** The reference's or a platform's other spelling, read when `name` is absent. */
  alias?: string
  group: string
  doc: string
  /** What applies when the variable is absent, in the words of the documentation. */
  fallback: string
  /** The default follows from other settings or the machine, and `fallback` describes it. */
  computed?: true
  secret?: true
}

export type Env = Record<string, string | undefined>

interface Extra {
  alias?: string
  secret?: true
  /** What the documentation states as default where it is no plain value. */
  shown?: string
}

/** What a parser makes of a text; a plain `undefined` means that it does not fit. */
type Parse<T> = (raw: string) => T | undefined

/** Reads settings one by one and collects all faults, so that an operator sees them at once. */
export class Reader {
  readonly faults: string[] = []
  readonly settings: Setting[] = []
  /** The heading under which the settings that follow are documented. */
  group = ''

  constructor(private readonly env: Env) {}

  /** What stands in the environment, without blanks around it; undefined when that is nothing. */
  raw(name: string): string | undefined {
    return this.env[name]?.trim() || undefined
  }

  /** The variable that gives a setting: its own, or its alias. */
  given({ name, alias }: Pick<Setting, 'name' | 'alias'>): string {
    return alias !== undefined && this.raw(name) === undefined && this.raw(alias) !== undefined ? alias : name
  }

  private read<T>(name: string, doc: string, fallback: T, parse: Parse<T>, expected: string, { shown, ...extra }: Extra = {}): T {
    const documented = shown === undefined ? { fallback: String(fallback ?? '') } : { fallback: shown, computed: true as const }
    this.settings.push({ name, group: this.group, doc, ...documented, ...extra })
    const variable = this.given({ name, ...extra })
    const raw = this.raw(variable)
    if (raw === undefined) return fallback
    const value = parse(raw)
    if (value !== undefined) return value
    this.faults.push(`${variable} must be ${expected}${extra.secret ? '' : `, not "${excerpt(raw)}"`}`)
    return fallback
  }

  text(name: string, doc: string, fallback: string, extra?: Extra) {
    return this.read(name, doc, fallback, (raw) => raw, 'text', extra)
  }

  optional(name: string, doc: string, extra?: Extra) {
    return this.read<string | undefined>(name, doc, undefined, (raw) => raw, 'text', extra)
  }

  integer(name: string, doc: string, fallback: number, min: number, max: number, extra?: Extra) {
    const parse = (raw: string) => {
      const value = /^-?\d{1,15}$/.test(raw) ? Number(raw) : Number.NaN
      return value >= min && value <= max ? value : undefined
    }
    return this.read(name, doc, fallback, parse, `a whole number from ${min} to ${max}`, extra)
  }

  flag(name: string, doc: string, fallback: boolean, extra?: Extra) {
    return this.read(name, doc, fallback, (raw) => FLAGS[raw.toLowerCase()], 'true or false', extra)
  }

  choice<const T extends string>(name: string, doc: string, fallback: T, choices: readonly T[], extra?: Extra) {
    const parse = (raw: string) => choices.find((choice) => choice.toLowerCase() === raw.toLowerCase())
    return this.read(name, doc, fallback, parse, `one of ${choices.join(', ')}`, extra)
  }

  /** Values between commas. `each` returns an item as it is kept, or undefined for one that does not fit. */
  list(name: string, doc: string, fallback: string[], { each, expected, ...extra }: Extra & { each: Parse<string>; expected: string }) {
    const items = this.read(name, doc, fallback, splitList, 'a list', extra)
    if (items === fallback) return items
    const wrong = items.filter((item) => each(item) === undefined).map((item) => `"${excerpt(item)}"`)
    if (wrong.length > 0)
      this.faults.push(`${name} must be ${expected}, separated by commas${extra.secret ? '' : `, not ${wrong.join(', ')}`}`)
    return items.flatMap((item) => each(item) ?? [])
  }

  /** A JSON text. `parse` returns the value as it is kept, or undefined for one that does not fit. */
  json<T>(name: string, doc: string, fallback: T, { parse, expected, ...extra }: Extra & { parse: Parse<T>; expected: string }) {
    return this.read(name, doc, fallback, parse, expected, extra)
  }

  /** What paths are appended to. */
  url<T extends string | undefined>(name: string, doc: string, fallback: T, extra?: Extra): string | T {
    return this.read<string | T>(name, doc, fallback, parseBase, 'an http or https URL without a query or fragment', extra)
  }

  /** The same for what everybody gets to see. */
  publicUrl(name: string, doc: string, fallback: string, extra: Extra): string {
    const parse = (raw: string) => (/^[^/]*\/\/[^/]*@/.test(raw) ? undefined : parseBase(raw))
    return this.read(name, doc, fallback, parse, 'an http or https URL without credentials, query or fragment', extra)
  }

  email<T extends string | undefined>(name: string, doc: string, fallback: T, extra?: Extra): string | T {
    const parse = (raw: string) => (EMAIL.test(raw) && raw.length <= 254 ? raw : undefined)
    return this.read<string | T>(name, doc, fallback, parse, 'an email address', extra)
  }

  /** What somebody signs in with: of what stands here the routes must take all. */
  account(name: string, doc: string, fallback: string) {
    const parse = (raw: string) => (ACCOUNT.test(raw) && raw.length <= 254 ? raw : undefined)
    return this.read(name, doc, fallback, parse, 'an email address in ASCII whose domain has a dot')
  }

  password(name: string, doc: string) {
    const fits = (raw: string) => [...raw].length <= MAX_PASSWORD_LENGTH && Buffer.byteLength(raw) <= MAX_PASSWORD_BYTES
    const parse = (raw: string) => (fits(raw) ? raw : undefined)
    const shown = 'generated and printed once'
    return this.read<string | undefined>(name, doc, undefined, parse, `at most ${MAX_PASSWORD_LENGTH} characters`, { secret: true, shown })
  }

  /** Undefined when it is absent. */
  secret(name: string, doc: string, shown: string) {
    return this.read<string | undefined>(name, doc, undefined, strongSecret, STRONG, { secret: true, shown })
  }

  secrets(name: string, doc: string, extra?: Extra) {
    return this.list(name, doc, [], { each: strongSecret, expected: STRONG_LIST, secret: true, ...extra })
  }
}

/** At least 32 bytes, no repetition, and nothing from a sample or manual: a server that runs on that is open to everybody who can read. */
export const isStrongSecret = (value: string): boolean =>
  Buffer.byteLength(value) >= 32 && new Set(value).size >= 8 && !isRepetition(value) && !SAMPLE_SECRET.test(value)

const strongSecret = (value: string) => (isStrongSecret(value) ? value : undefined)

const isRepetition = (value: string) => `${value}${value}`.indexOf(value, 1) < value.length

const SAMPLE_SECRET =
  /your[-_ ]|change[-_ ]?me|change[-_ ]?this|replace[-_ ]?(me|this)|place[-_ ]?holder|example|insert[-_ ]|secret[-_ ]?key|secret[-_ ]here/i
const STRONG = 'a random value of at least 32 bytes and no sample (openssl rand -base64 48)'
const STRONG_LIST = 'random values of at least 32 bytes and no samples (openssl rand -base64 48)'

const parseBase = (raw: string) => (/^https?:\/\/[^?#]+$/i.test(raw) && URL.canParse(raw) ? raw.replace(/\/+$/, '') : undefined)

const FLAGS: Record<string, boolean> = { true: true, '1': true, yes: true, on: true, false: false, '0': false, no: false, off: false }
/** As in the bodies of requests. */
const ACCOUNT =
  /^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*@(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/i
const EMAIL = /^[^\s@<>",;]+@[^\s@<>",;]+$/

const splitList = (raw: string) =>
  raw
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean)

/** Enough of a wrong value to find it, on one line and without the credentials of a URL. */
const excerpt = (raw: string) => redactText(raw).replace(/\s+/g, ' ').slice(0, 60)
