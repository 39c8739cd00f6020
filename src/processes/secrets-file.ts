import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { StartError } from './start-error'

/** Generated once for a server whose operator gave none (never in production). */
export interface Secrets {
  jwtSecret: string
  encryptionKey: string
  redisPassword: string
  postgresPassword: string
}

/** Reads `secrets.json` of the data directory, or makes it, readable by its owner only. Two processes that make it at once get the same. */
export function loadSecrets(dataDir: string): Secrets {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const path = join(dataDir, 'secrets.json')
  return read(path) ?? create(path)
}

function create(path: string): Secrets {
  const secrets: Secrets = { jwtSecret: random(), encryptionKey: random(), redisPassword: random(), postgresPassword: random() }
  const draft = `${path}.${process.pid}`
  writeFileSync(draft, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600, flush: true })
  try {
    linkSync(draft, path) // complete at once, and never over another's
    return secrets
  } catch (error) {
    const theirs = read(path)
    if (theirs) return theirs
    throw error
  } finally {
    rmSync(draft)
  }
}

function read(path: string): Secrets | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
  const found = parse(text)
  for (const name of NAMES)
    if (typeof found[name] !== 'string' || found[name].length < 32)
      throw new StartError(`${path} is damaged (${name}): restore it, or nothing that was encrypted with its keys can be read`)
  return found as unknown as Secrets // each name was checked
}

const NAMES = ['jwtSecret', 'encryptionKey', 'redisPassword', 'postgresPassword'] satisfies (keyof Secrets)[]

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {} // reported by the caller as damaged
  }
}

/** 43 characters, 256 bits. */
const random = () => Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')
