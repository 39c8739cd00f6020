import { createHash, timingSafeEqual } from 'node:crypto'
import type { Engine } from './engine'
import {
  askCleartextPassword,
  authenticationOk,
  backendKeyData,
  parameterStatus,
  readPassword,
  readStartupParameters,
  readyForQuery,
  STARTUP_CODE,
} from './messages'

/** What the server does about one message of a connection that is not let in yet. */
export interface Step {
  answer?: Buffer
  refusal?: [code: string, message: string]
  hangUp?: true
  /** From here on messages have a type byte. */
  typed?: true
  /** It is in, with these session settings. */
  done?: { settings: Map<string, string> | undefined }
}

export const DATABASE = 'postgres'

/**
 * How connections get in: TLS is declined, the database must be the one there is, and the password (in clear: the way is the loopback) keeps
 * other users of this machine out.
 */
export const createGreeting = ({ engine, password }: { engine: Engine; password: string }) => {
  const statuses = Buffer.concat(readReported(engine).map(([name, value]) => parameterStatus(name ?? '', value ?? '')))
  const expected = digest(password)

  /** The steps of one connection, in the order of its messages. */
  return (processId: number) => {
    let settings: Map<string, string> | undefined
    let asked = false

    const start = (bytes: Buffer): Step => {
      const code = bytes.readInt32BE(4)
      if (code === STARTUP_CODE.ssl || code === STARTUP_CODE.gssEncryption) return { answer: Buffer.from('N') }
      // There is no second process that could be told to cancel.
      if (code === STARTUP_CODE.cancel) return { hangUp: true }
      if (code !== STARTUP_CODE.protocol3)
        return { refusal: ['0A000', 'unsupported frontend protocol: the embedded PostgreSQL speaks 3.0'] }
      const parameters = readStartupParameters(bytes)
      const database = parameters.get('database') ?? parameters.get('user')
      if (database !== DATABASE)
        return { refusal: ['3D000', `the embedded PostgreSQL has one database, "${DATABASE}"; set DATABASE_URL to use a real one`] }
      settings = settingsOf(parameters)
      asked = true
      return { answer: askCleartextPassword, typed: true }
    }

    return (bytes: Buffer): Step => {
      if (!asked) return start(bytes)
      if (bytes[0] !== PASSWORD || !timingSafeEqual(digest(readPassword(bytes)), expected))
        return { refusal: ['28P01', 'password authentication failed'] }
      return { answer: Buffer.concat([authenticationOk, statuses, backendKeyData(processId), readyForQuery]), done: { settings } }
    }
  }
}

const PASSWORD = 'p'.charCodeAt(0)
const digest = (text: string) => createHash('sha256').update(text).digest()

/**
 * Not settings of the session, or without effect in it: nothing can interrupt a statement of PGlite, and a name for the logs is not worth a
 * statement each time that another connection has its turn.
 */
const NOT_APPLIED =
  /^(user|database|options|replication|_pq_\..*|application_name|client_encoding|.*_timeout|client_connection_check_interval)$/i

function settingsOf(parameters: Map<string, string>): Map<string, string> | undefined {
  const settings = new Map([...parameters].filter(([name]) => !NOT_APPLIED.test(name)))
  for (const [, name = '', value = ''] of (parameters.get('options') ?? '').matchAll(/(?:-c\s*|--)([\w.]+)=(\S+)/g))
    if (!NOT_APPLIED.test(name)) settings.set(name, value)
  return settings.size === 0 ? undefined : settings
}

const readReported = (engine: Engine) =>
  engine.rows(
    `select name, setting from pg_catalog.pg_settings where name in ('server_version', 'server_encoding', 'client_encoding', 'DateStyle',
     'IntervalStyle', 'TimeZone', 'integer_datetimes', 'standard_conforming_strings', 'in_hot_standby', 'default_transaction_read_only')`,
  )
