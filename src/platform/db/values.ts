/** Object identifiers of pg_type.dat; they never change. */
const OID = { bool: 16, int8: 20, json: 114, date: 1082, time: 1083, timestamp: 1114, timestamptz: 1184, timetz: 1266, jsonb: 3802 }
const TEXT_ARRAYS = { text: 1009, varchar: 1015, uuid: 2951 }
const NUMBER_ARRAYS = { int2: 1005, int4: 1007, int8: 1016, float4: 1021, float8: 1022 }

const asText = (value: unknown) => (value instanceof Date ? value.toISOString() : String(value))
const unchanged = (text: string) => text

/**
 * How the driver reads and writes values. Dates and JSON stay text here, for a Drizzle column decodes them itself (a second decoding would turn the
 * JSON string "1" into a number, and a Date drops a cursor's microseconds); `decoders` is for values that no column decodes.
 */
export const driverTypes = {
  time: {
    to: OID.timestamptz,
    from: [OID.date, OID.time, OID.timestamp, OID.timestamptz, OID.timetz],
    serialize: asText,
    parse: unchanged,
  },
  json: { to: OID.json, from: [OID.json, OID.jsonb], serialize: String, parse: unchanged },
  integer: { to: OID.int8, from: [OID.int8], serialize: String, parse: exactInteger },
  // The driver's own would write the text 'true' as false.
  boolean: { to: OID.bool, from: [OID.bool], serialize: String, parse: (text: string) => text === 't' },
  // Drizzle's columns would decode arrays too, but lose backslashes and read NULL as a word.
  texts: {
    to: TEXT_ARRAYS.text,
    from: Object.values(TEXT_ARRAYS),
    serialize: String,
    parse: (text: string) => parseArray(text, unchanged),
  },
  numbers: {
    to: NUMBER_ARRAYS.int4,
    from: Object.values(NUMBER_ARRAYS),
    serialize: String,
    parse: (text: string) => parseArray(text, Number),
  },
}

/** A number, or a bigint where a number would round. */
function exactInteger(text: string): number | bigint {
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : BigInt(text)
}

/** An array literal as the server writes it: `{a,"b \\"c\\"",NULL,{…}}`. */
export function parseArray<T>(text: string, parseItem: (item: string) => T): unknown[] {
  const stack: unknown[][] = [[]]
  // A brace, or an item: quoted with escapes, or bare up to the next delimiter.
  for (const [token, quoted] of text.matchAll(/[{}]|"((?:[^"\\]|\\.)*)"|[^{},"]+/gs)) {
    const open = stack.at(-1) as unknown[]
    if (token === '{') {
      const inner: unknown[] = []
      open.push(inner)
      stack.push(inner)
    } else if (token === '}') stack.pop()
    else if (quoted !== undefined) open.push(parseItem(quoted.replace(/\\(.)/gs, '$1')))
    else open.push(token === 'NULL' ? null : parseItem(token))
  }
  return stack[0]?.[0] as unknown[]
}

/** For raw SQL, by the type of the result's column. */
export const decoders: Record<number, (text: string) => unknown> = {
  [OID.json]: JSON.parse,
  [OID.jsonb]: JSON.parse,
  [OID.timestamptz]: (text) => new Date(text),
}

const MAX_PARAMETERS = 65_533

/**
 * What the driver can write without failing half way, which would leave the connection out of step: dates and numbers as they are, arrays as array
 * literals, objects as JSON.
 */
export function encodeParameters(parameters: unknown[]): unknown[] {
  if (parameters.length > MAX_PARAMETERS) throw new RangeError(`A statement takes at most ${MAX_PARAMETERS} parameters`)
  return parameters.map(encode)
}

function encode(value: unknown): unknown {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null) return value
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object') throw new TypeError(`A query parameter is ${typeof value}`)
  if (value instanceof Uint8Array) return value
  if (Array.isArray(value)) return arrayLiteral(value)
  if (!(value instanceof Date)) return JSON.stringify(value)
  if (Number.isNaN(value.getTime())) throw new RangeError('A query parameter is an invalid date')
  return value
}

const arrayLiteral = (items: unknown[]): string =>
  `{${items
    .map((item) => {
      if (item === null) return 'NULL'
      return Array.isArray(item) ? arrayLiteral(item) : `"${asText(encode(item)).replace(/[\\"]/g, '\\$&')}"`
    })
    .join(',')}}`
