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
const SECRET_KEY = /pass(word|wd)?|secret|token|authorization|cookie|api[-_]?key|credential|private[-_]?key|encrypted|dsn/i
/** Secrets inside free text, such as a driver's error message: URL credentials, bearer tokens, provider keys, JWTs. */
const SECRET_TEXT: [RegExp, string][] = [
  [/([a-z][a-z0-9+.-]*:\/\/)[^\s/@:]*:[^\s/@]*@/gi, '$1***@'],
  [/\b(bearer|basic)\s+[\w.~+/=-]+/gi, '$1 ***'],
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, '***'],
  [/\b(sk|pk|rk|evo|SG|AIza|xox[a-z])[-_.][\w.-]{8,}/g, '$1-***'],
  [/([?&](?:code|token|key|access_token|api_key)=)[^&\s]+/gi, '$1***'],
]
const MAX_TEXT = 4000
const MAX_DEPTH = 6

export function createLog({
  level,
  pretty = false,
  write = writeLine,
}: {
  level: LogLevel
  pretty?: boolean
  write?: (line: string) => void
}): Log {
  const at = (fields: Fields): Log => {
    const emit =
      (lineLevel: Exclude<LogLevel, 'silent'>) =>
      (message: string, more: Fields = {}) => {
        if (RANK[lineLevel] < RANK[level]) return
        const entry = { time: new Date().toISOString(), level: lineLevel, message: redactText(message), ...redact({ ...fields, ...more }) }
        write(pretty ? readable(entry) : JSON.stringify(entry))
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

function writeLine(line: string) {
  process.stdout.write(`${line}\n`)
}

const redact = (fields: Fields): Fields => redactValue(fields, 0) as Fields

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return redactText(value)
  if (typeof value === 'bigint') return value.toString()
  if (value === null || typeof value !== 'object') return value
  if (value instanceof Date) return value.toISOString()
  if (depth >= MAX_DEPTH) return '…'
  if (value instanceof Error) return describeError(value, depth)
  if (Array.isArray(value)) return value.slice(0, 50).map((item) => redactValue(item, depth + 1))
  const result: Fields = {}
  for (const [key, item] of Object.entries(value)) {
    result[key] = SECRET_KEY.test(key) && item !== null && item !== undefined ? '***' : redactValue(item, depth + 1)
  }
  return result
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

export function redactText(text: string): string {
  let result = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
  for (const [pattern, replacement] of SECRET_TEXT) result = result.replace(pattern, replacement)
  return result
}

function readable({ time, level, message, ...fields }: { time: string; level: string; message: string } & Fields): string {
  const rest = Object.entries(fields).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return `${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${message}${rest.length > 0 ? `  ${rest.join(' ')}` : ''}`
}

/** A log that drops everything; for tools and tests that only want the behaviour. */
export const silentLog = createLog({ level: 'silent' })
