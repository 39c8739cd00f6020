/** Structured logs: one JSON object a line on stdout, or a readable line on a terminal. */
export interface Log {
  debug(message: string, fields?: Fields): void
  info(message: string, fields?: Fields): void
  warn(message: string, fields?: Fields): void
  error(message: string, fields?: Fields): void
  /** A log whose every line carries `fields`. */
  with(fields: Fields): Log
}

export type Fields = Record<string, unknown>
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

const RANK: Record<LogLevel, number> = { debug: 10, info: 20, warn: 30, error: 40, silent: 99 }

/** A key that names a secret loses its value, whatever nests it. */
const SECRET_KEY = /pass(word|wd)?|secret|token|authorization|cookie|api[-_]?key|key[-_]?value|credential|private[-_]?key|encrypted|dsn/i
/** Secrets inside free text, such as a driver's error message. Every repetition is bounded or runs to the next blank, so that none backtracks for long. */
const SECRET_TEXT: [RegExp, string][] = [
  // The user part of a URL, also where the password holds a slash or an at sign.
  [/(:\/\/)(?:[^\s/]{0,300}|[^\s:/@]{0,100}:\S{0,200})@/g, '$1***@'],
  [/\b(bearer|basic)\s+[\w.~+/=-]+/gi, '$1 ***'],
  // A JWT, or what is left of one.
  [/\beyJ[\w-]{8,}(?:\.[\w-]*)*/g, '***'],
  // Keys that show whose they are: OpenAI, Anthropic, Stripe, SendGrid, Slack, GitHub, GitLab, Hugging Face, ourselves, Google, Amazon.
  [/\b(sk|pk|rk|evo|SG|xox[a-z]|gh[pousr]|glpat|hf)[-_.][\w.-]{8,}/g, '$1-***'],
  [/\b(AIza|AKIA|ASIA)[\w-]{12,}/g, '$1***'],
  [/-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]*/g, '***'],
  [/\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{20,}/g, '***'],
  [/([?&](?:code|key)=)[^&\s]+/gi, '$1***'],
  // Named in a query, a header, a connection string or JSON.
  [
    /((?:pass(?:word|wd)?|secret|token|api[-_]?key|key[-_]value|authorization|credential)["'\\]{0,3}\s{0,3}[=:]\s{0,3})(?:\\?"[^"\n]*|'[^'\n]*|[^\s"',;&}]+)/gi,
    '$1***',
  ],
  // The values of a statement, as Drizzle tells them.
  [/(\nparams: )[\s\S]*?(?=\n {4}at |$)/g, '$1***'],
  // The links of mails that carry their token in the path.
  [/(\/verify-email\/)[^\s/?"]+/gi, '$1***'],
]
/** Most texts have nothing to hide, and one look tells. */
const ANY_SECRET = new RegExp(SECRET_TEXT.map(([pattern]) => pattern.source).join('|'), 'i')
const MAX_TEXT = 4000
/** Longer than nearly every secret. */
const MARGIN = 1000
const MAX_DEPTH = 6

export function createLog({
  level,
  pretty = false,
  write = writeLine,
}: {
  level: LogLevel
  pretty?: boolean
  /** `isUrgent`: the process may not live long enough for it to wait. */
  write?: (line: string, isUrgent: boolean) => void
}): Log {
  const at = (fields: Fields): Log => {
    const carried = redact(fields)
    const emit = (lineLevel: Exclude<LogLevel, 'silent'>) => {
      if (RANK[lineLevel] < RANK[level]) return () => undefined
      const isUrgent = RANK[lineLevel] >= RANK.warn
      return (message: string, more: Fields = {}) => {
        const entry = { time: timeNow(), level: lineLevel, message: redactText(message), ...carried }
        redactInto(entry, more, 0)
        write(pretty ? readable(entry) : JSON.stringify(entry), isUrgent)
      }
    }
    return {
      debug: emit('debug'),
      info: emit('info'),
      warn: emit('warn'),
      error: emit('error'),
      with: (more) => at({ ...fields, ...more }),
    }
  }
  return at({})
}

/** Lines of the last moment: written together they cost a fraction of one by one. */
let waiting = ''
const WRITE_AFTER_MS = 10
const MAX_WAITING = 65_536

function writeLine(line: string, isUrgent: boolean) {
  if (waiting === '' && !isUrgent) setTimeout(writeWaiting, WRITE_AFTER_MS)
  waiting += `${line}\n`
  if (isUrgent || waiting.length > MAX_WAITING) writeWaiting()
}

function writeWaiting() {
  const lines = waiting
  waiting = ''
  if (lines !== '') process.stdout.write(lines)
}
process.on('exit', writeWaiting)

let second = 0
let upToSecond = ''

/** ISO 8601 in UTC, of which only the milliseconds are made anew within a second. */
function timeNow(): string {
  const now = Date.now()
  const ms = now % 1000
  if (now - ms !== second) {
    second = now - ms
    upToSecond = new Date(second).toISOString().slice(0, 20)
  }
  return `${upToSecond}${String(ms).padStart(3, '0')}Z`
}

const redact = (fields: Fields): Fields => redactValue(fields, 0) as Fields

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return redactText(value)
  if (typeof value === 'bigint') return value.toString()
  if (value === null || typeof value !== 'object') return value
  if (value instanceof Date) return value.toISOString()
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`
  if (depth >= MAX_DEPTH) return '…'
  if (value instanceof Error) return describeError(value, depth)
  if (Array.isArray(value)) return value.slice(0, 50).map((item) => redactValue(item, depth + 1))
  return redactInto({}, value as Fields, depth)
}

function redactInto(result: Fields, fields: Fields, depth: number): Fields {
  for (const key of Object.keys(fields)) {
    const item = fields[key]
    result[key] = item !== null && item !== undefined && namesSecret(key) ? '***' : redactValue(item, depth + 1)
  }
  return result
}

const MAX_KEYS = 1000
/** The same few keys come again and again. */
const knownKeys = new Map<string, boolean>()

function namesSecret(key: string): boolean {
  const known = knownKeys.get(key)
  if (known !== undefined) return known
  if (knownKeys.size >= MAX_KEYS) knownKeys.clear()
  const secret = SECRET_KEY.test(key)
  knownKeys.set(key, secret)
  return secret
}

/** Name, text, stack and cause; not the error's own properties, which drivers fill with parameters. */
function describeError(error: Error, depth: number): Fields {
  const code = 'code' in error ? { code: String(error.code) } : {}
  return {
    name: error.name,
    message: redactText(error.message),
    ...code,
    stack: redactText(error.stack ?? ''),
    ...(error.cause === undefined ? {} : { cause: redactValue(error.cause, depth + 1) }),
  }
}

/** Cut, but not before it is redacted, so that the cut leaves no half of a secret. */
export function redactText(text: string): string {
  let result = text.length > MAX_TEXT + MARGIN ? text.slice(0, MAX_TEXT + MARGIN) : text
  if (ANY_SECRET.test(result)) for (const [pattern, replacement] of SECRET_TEXT) result = result.replace(pattern, replacement)
  return result.length > MAX_TEXT ? `${result.slice(0, MAX_TEXT)}…` : result
}

function readable({ time, level, message, ...fields }: { time: string; level: string; message: string } & Fields): string {
  const rest = Object.entries(fields).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  const line = `${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${message}${rest.length > 0 ? `  ${rest.join(' ')}` : ''}`
  // A terminal would obey what somebody has put into a path.
  return line.replace(CONTROL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g

/** A log that drops everything; for tools and tests that only want the behaviour. */
export const silentLog = createLog({ level: 'silent' })
