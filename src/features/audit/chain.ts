import { randomBytes } from 'node:crypto'

/** What may be erased from a row without breaking its chain: the chain holds a salted hash of it. */
export interface Personal {
  resource_id: string | null
  details: Record<string, unknown> | null
  ip_address: string | null
  user_agent: string | null
}

/** A row as its hash sees it. Moments in microseconds, `2026-01-02T03:04:05.678000Z`; hashes and salts in hex. */
export interface Entry extends Personal {
  id: string
  client_id: string | null
  user_id: string | null
  actor_user_id: string | null
  action: string
  resource_type: string
  trace_id: string | null
  created_at: string
}

export interface Link extends Entry {
  chain_id: string
  seq: number
  recorded_at: string
  salt: string | null
  personal_hash: string
  prev_hash: string
  hash: string
}

/** The end of a chain: what the next row follows. */
export interface Head {
  seq: number
  hash: string
}

/** The chain of what belongs to no client. */
export const PLATFORM_CHAIN = '00000000-0000-0000-0000-000000000000'
export const chainOf = (clientId: string | null) => clientId ?? PLATFORM_CHAIN
/** What the first row of a chain follows. */
export const GENESIS: Head = { seq: 0, hash: '0'.repeat(64) }

export function linkEntry(entry: Entry, head: Head, recordedAt: string): Link & { salt: string } {
  const salt = newSalt()
  const link = {
    ...entry,
    chain_id: chainOf(entry.client_id),
    seq: head.seq + 1,
    recorded_at: recordedAt,
    salt,
    personal_hash: hashPersonal(salt, entry),
    prev_hash: head.hash,
    hash: '',
  }
  link.hash = hashLink(link)
  return link
}

const SALT_BYTES = 16
let salts = ''

/** Many are drawn at a time: asking the system for each would cost as much as all else about a link. */
function newSalt(): string {
  if (salts === '') salts = randomBytes(SALT_BYTES * 256).toString('hex')
  const salt = salts.slice(0, 2 * SALT_BYTES)
  salts = salts.slice(2 * SALT_BYTES)
  return salt
}

/** Salted, so that what was erased cannot be found by trying. */
export const hashPersonal = (salt: string, { resource_id, details, ip_address, user_agent }: Personal): string =>
  sha256(`["${salt}",${canonicalJson(resource_id)},${canonicalJson(details)},${canonicalJson(ip_address)},${canonicalJson(user_agent)}]`)

/** Nothing here has members whose order would matter. */
export const hashLink = (link: Omit<Link, 'hash' | 'salt' | keyof Personal>): string =>
  sha256(
    JSON.stringify([
      'v1',
      link.prev_hash,
      link.chain_id,
      link.seq,
      link.id,
      link.client_id,
      link.user_id,
      link.actor_user_id,
      link.action,
      link.resource_type,
      link.trace_id,
      link.created_at,
      link.recorded_at,
      link.personal_hash,
    ]),
  )

const sha256 = (text: string) => Bun.SHA256.hash(text, 'hex')

/** JSON with the names of objects in order, by code unit, as PostgreSQL's jsonb does not keep theirs. */
function canonicalJson(value: unknown): string {
  if (!isObject(value)) return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return value.some(isObject) ? `[${value.map(canonicalJson).join(',')}]` : JSON.stringify(value)
  let members = ''
  for (const name of Object.keys(value).sort()) {
    const item = value[name]
    if (item !== undefined) members += `${members === '' ? '' : ','}${JSON.stringify(name)}:${canonicalJson(item)}`
  }
  return `{${members}}`
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
