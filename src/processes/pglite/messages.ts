/**
 * The messages of PostgreSQL's protocol 3.0 that the embedded server writes or has to look into
 * (https://www.postgresql.org/docs/current/protocol-message-formats.html).
 */

/** The first message of a connection has no type byte; its code tells what it is. */
export const STARTUP_CODE = { protocol3: 196608, ssl: 80877103, gssEncryption: 80877104, cancel: 80877102 } as const

export const authenticationOk = frame('R', int32(0))
export const askCleartextPassword = frame('R', int32(3))
export const sync = frame('S')
export const readyForQuery = frame('Z', Buffer.from('I'))

export const query = (sql: string) => frame('Q', cstring(sql))
export const closeStatement = (name: string) => frame('C', Buffer.from('S'), cstring(name))
export const parameterStatus = (name: string, value: string) => frame('S', cstring(name), cstring(value))
export const backendKeyData = (processId: number) => frame('K', int32(processId), int32(0))

/** A refusal that ends the connection. `code` is an SQLSTATE. */
export const fatalError = (code: string, message: string) =>
  frame('E', ...[`SFATAL`, `VFATAL`, `C${code}`, `M${message}`].map(cstring), Buffer.from([0]))

/** One framed message, as the client sent it. */
export class FrontendMessage {
  constructor(readonly bytes: Buffer) {}

  get type(): string {
    return String.fromCharCode(this.bytes[0] ?? 0)
  }

  /** True for the messages that make the server act on what it was sent: nothing before them may be left waiting. */
  get endsTurn(): boolean {
    return this.endsUnit || this.type === 'H'
  }

  /** After these the server is ready for a new query, so that outside a transaction another connection may have its turn. */
  get endsUnit(): boolean {
    return this.type === 'S' || this.type === 'Q' || this.type === 'F'
  }

  /** The SQL of a simple query or of a statement to be prepared. */
  get sql(): string | undefined {
    if (this.type === 'Q') return readCString(this.bytes, 5).text
    if (this.type === 'P') return readCString(this.bytes, readCString(this.bytes, 5).end).text
    return undefined
  }

  /** The prepared statement that it makes, runs, describes or closes; empty is the unnamed one. */
  get statement(): string | undefined {
    const at = this.statementAt
    return at === undefined ? undefined : readCString(this.bytes, at).text
  }

  /** The same message about another statement. */
  withStatement(name: string): FrontendMessage {
    const at = this.statementAt
    if (at === undefined) return this
    const body = [this.bytes.subarray(5, at), cstring(name), this.bytes.subarray(readCString(this.bytes, at).end)]
    return new FrontendMessage(frame(this.type, ...body))
  }

  /** The same message with another statement's text. */
  withSql(sql: string): FrontendMessage {
    const at = this.type === 'P' ? readCString(this.bytes, 5).end : 5
    const body = [this.bytes.subarray(5, at), cstring(sql), this.bytes.subarray(readCString(this.bytes, at).end)]
    return new FrontendMessage(frame(this.type, ...body))
  }

  private get statementAt(): number | undefined {
    if (this.type === 'P') return 5
    if (this.type === 'B') return readCString(this.bytes, 5).end
    if ((this.type === 'D' || this.type === 'C') && this.bytes[5] === STATEMENT) return 6
    return undefined
  }
}

const READY_FOR_QUERY = 'Z'.charCodeAt(0)
const STATEMENT = 'S'.charCodeAt(0)

/** The settings of a startup message, after its length and code. */
export function readStartupParameters(bytes: Buffer): Map<string, string> {
  const parameters = new Map<string, string>()
  let at = 8
  while (at < bytes.length && bytes[at] !== 0) {
    const name = readCString(bytes, at)
    const value = readCString(bytes, name.end)
    parameters.set(name.text, value.text)
    at = value.end
  }
  return parameters
}

/** A password message's only string. */
export const readPassword = (bytes: Buffer) => readCString(bytes, 5).text

/** Whether the server's answer is complete and asks for the next query. */
export const endsReadyForQuery = (answer: Buffer) => answer.length >= 6 && answer[answer.length - 6] === READY_FOR_QUERY

/** The rows of text columns in the server's answer; `undefined` when it is an error. */
export function readRows(answer: Buffer): (string | null)[][] | undefined {
  const rows: (string | null)[][] = []
  for (const { type, body } of backendMessages(answer)) {
    if (type === 'E') return undefined
    if (type !== 'D') continue
    const row: (string | null)[] = []
    let at = 2
    for (let column = body.readInt16BE(0); column > 0; column--) {
      const length = body.readInt32BE(at)
      at += 4
      row.push(length < 0 ? null : body.toString('utf8', at, at + length))
      at += Math.max(length, 0)
    }
    rows.push(row)
  }
  return rows
}

/** The text of the first error in the server's answer. */
export function readErrorMessage(answer: Buffer): string | undefined {
  for (const { type, body } of backendMessages(answer))
    if (type === 'E')
      return body
        .toString('utf8')
        .split('\0')
        .find((field) => field.startsWith('M'))
        ?.slice(1)
  return undefined
}

function* backendMessages(answer: Buffer) {
  let at = 0
  while (at + 5 <= answer.length) {
    const end = at + 1 + answer.readInt32BE(at + 1)
    yield { type: String.fromCharCode(answer[at] ?? 0), body: answer.subarray(at + 5, end) }
    at = end
  }
}

function frame(type: string, ...body: Buffer[]): Buffer {
  const length = body.reduce((sum, part) => sum + part.length, 4)
  return Buffer.concat([Buffer.from(type, 'latin1'), int32(length), ...body])
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

function cstring(text: string): Buffer {
  return Buffer.from(`${text}\0`)
}

function readCString(bytes: Buffer, from: number): { text: string; end: number } {
  const zero = bytes.indexOf(0, from)
  const end = zero < 0 ? bytes.length : zero
  return { text: bytes.toString('utf8', from, end), end: end + 1 }
}
