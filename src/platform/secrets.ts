import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'
import { and, asc, desc, eq, gt, ne } from 'drizzle-orm'
import { clientKeys } from './client-keys-table'
import type { Db } from './db'
import { DomainError } from './errors'

export interface Secrets {
  /** `context` names the row and column, such as `api_keys:<id>`: a ciphertext moved to another row does not open. */
  seal(db: Db, clientId: string, context: string, plaintext: string): Promise<string>
  /** @throws DomainError `secret-unavailable` for a foreign, moved or altered ciphertext and for a key that is not at hand. */
  open(db: Db, clientId: string, context: string, sealed: string): string | Promise<string>
  /**
   * Wraps the data keys that an older key-encryption key holds with the newest, `size` at most, those behind the id `after` first. Data keys and ciphertexts
   * stay as they are, so everybody works on meanwhile. Returns the last id looked at, undefined at the end; a key that changed in between is left to a later round.
   * @throws DomainError `secret-unavailable` for a data key whose key-encryption key is not configured
   */
  rewrap(db: Db, page: { after: string | undefined; size: number }): Promise<{ rewrapped: number; last: string | undefined }>
  /** What belongs to a person and to no client: under the newest key-encryption key itself. `context` as above. */
  platform: PlatformSecrets
  /** 32 bytes for one purpose, the same in every process, from each key-encryption key: what is new is made with the first, what was made with any is known. */
  derive(purpose: string): DerivedKeys
}

export type DerivedKeys = readonly [newest: Buffer, ...older: Buffer[]]

export interface PlatformSecrets {
  seal(context: string, plaintext: string): string
  /** @throws DomainError `secret-unavailable`, as above */
  open(context: string, sealed: string): string
  /** The same secret under the newest key; undefined where it is that already. @throws DomainError `secret-unavailable` */
  reseal(context: string, sealed: string): string | undefined
}

const VERSION = 'v1'
const PLATFORM_VERSION = 'p1'
const CACHE_SIZE = 10_000

interface DataKey {
  id: string
  key: Buffer
}

/**
 * Envelope encryption (AES-256-GCM): secrets under a data key of their client, data keys under a key-encryption key of the environment.
 * `keyEncryptionKeys` are newest first: the first wraps, all unwrap.
 */
export function createSecrets({ keyEncryptionKeys }: { keyEncryptionKeys: string[] }): Secrets {
  const keks = new Map(keyEncryptionKeys.map((secret) => [kekIdOf(secret), expand(secret, 'kek')]))
  const [current] = keks
  if (current === undefined) throw new Error('createSecrets needs a key')
  const [currentId, currentKek] = current
  const newest = new Map<string, DataKey>()
  const byId = new Map<string, DataKey & { clientId: string }>()
  const opened = createOpened()

  const remember = (clientId: string, dataKey: DataKey) => {
    if (byId.size >= CACHE_SIZE) {
      byId.clear()
      newest.clear()
    }
    byId.set(dataKey.id, { ...dataKey, clientId })
    return dataKey
  }

  const unwrap = (clientId: string, row: { id: string; kekId: string; wrappedKey: Buffer }): DataKey => {
    const kek = keks.get(row.kekId)
    if (kek === undefined) throw unavailable(new Error(`key-encryption key ${row.kekId} is not configured`))
    return remember(clientId, { id: row.id, key: decrypt(kek, row.wrappedKey, `${clientId}:${row.id}`) })
  }

  async function keyForSealing(db: Db, clientId: string): Promise<DataKey> {
    const known = newest.get(clientId)
    if (known !== undefined) return known
    const [row] = await db.select().from(clientKeys).where(eq(clientKeys.clientId, clientId)).orderBy(desc(clientKeys.createdAt)).limit(1)
    if (row !== undefined) {
      const dataKey = unwrap(clientId, row)
      newest.set(clientId, dataKey)
      return dataKey
    }
    // Two processes may both make one: each ciphertext names its key, so both stay good. Not cached, since the transaction may yet roll back.
    const made: DataKey = { id: Bun.randomUUIDv7(), key: randomBytes(32) }
    await db
      .insert(clientKeys)
      .values({ id: made.id, clientId, kekId: currentId, wrappedKey: encrypt(currentKek, made.key, `${clientId}:${made.id}`) })
    return made
  }

  async function keyForOpening(db: Db, clientId: string, id: string): Promise<DataKey> {
    const known = byId.get(id)
    if (known !== undefined && known.clientId === clientId) return known
    const [row] = await db
      .select()
      .from(clientKeys)
      .where(and(eq(clientKeys.clientId, clientId), eq(clientKeys.id, id)))
    if (row === undefined) throw unavailable(new Error('the data key does not exist'))
    return unwrap(clientId, row)
  }

  async function openAnew(db: Db, clientId: string, owner: string, sealed: string): Promise<string> {
    const [version, id, body] = sealed.split('.')
    if (version !== VERSION || id === undefined || body === undefined) throw unavailable(new Error('not a sealed value'))
    const { key } = await keyForOpening(db, clientId, id)
    const plaintext = decrypt(key, Buffer.from(body, 'base64url'), owner).toString('utf8')
    opened.remember(sealed, { owner, plaintext })
    return plaintext
  }

  return {
    async seal(db, clientId, context, plaintext) {
      const { id, key } = await keyForSealing(db, clientId)
      const owner = `${clientId}:${context}`
      const sealed = `${VERSION}.${id}.${encrypt(key, Buffer.from(plaintext, 'utf8'), owner).toString('base64url')}`
      opened.remember(sealed, { owner, plaintext })
      return sealed
    },
    open(db, clientId, context, sealed) {
      const owner = `${clientId}:${context}`
      const known = opened.find(sealed)
      // One that was moved fails, as it does when it is not known.
      return known?.owner === owner ? known.plaintext : openAnew(db, clientId, owner, sealed)
    },
    async rewrap(db, { after, size }) {
      const rows = await db
        .select()
        .from(clientKeys)
        .where(and(ne(clientKeys.kekId, currentId), after === undefined ? undefined : gt(clientKeys.id, after)))
        .orderBy(asc(clientKeys.id))
        .limit(size)
      let rewrapped = 0
      for (const row of rows) {
        const { key } = unwrap(row.clientId, row)
        const changed = await db
          .update(clientKeys)
          .set({ kekId: currentId, wrappedKey: encrypt(currentKek, key, `${row.clientId}:${row.id}`) })
          .where(and(eq(clientKeys.id, row.id), eq(clientKeys.kekId, row.kekId)))
          .returning({ id: clientKeys.id })
        rewrapped += changed.length
      }
      return { rewrapped, last: rows.at(-1)?.id }
    },
    platform: createPlatformSecrets(keyEncryptionKeys),
    derive(purpose) {
      const [newest, ...older] = keyEncryptionKeys.map((secret) => expand(secret, purpose))
      if (newest === undefined) throw new Error('createSecrets needs a key')
      return [newest, ...older]
    },
  }
}

interface Opened {
  /** Client and context that it was sealed for. */
  owner: string
  plaintext: string
}

const OPENED_SIZE = 5000
const MAX_REMEMBERED_LENGTH = 1000

/**
 * What was sealed or opened of late, by its ciphertext, which says the same for ever: a list shows fifty keys at a time. Two generations, so that what is
 * asked for stays, and nothing long.
 */
function createOpened() {
  let young = new Map<string, Opened>()
  let old = new Map<string, Opened>()
  const remember = (sealed: string, value: Opened) => {
    if (sealed.length > MAX_REMEMBERED_LENGTH) return
    if (young.size >= OPENED_SIZE) {
      old = young
      young = new Map()
    }
    young.set(sealed, value)
  }
  return {
    remember,
    find(sealed: string): Opened | undefined {
      const known = young.get(sealed)
      if (known !== undefined) return known
      const older = old.get(sealed)
      if (older !== undefined) remember(sealed, older)
      return older
    },
  }
}

/** Names a key-encryption key without telling anything about it. */
const kekIdOf = (secret: string) => createHash('sha256').update(`kek:${secret}`).digest('base64url').slice(0, 12)

function createPlatformSecrets(keyEncryptionKeys: string[]): PlatformSecrets {
  const keys = new Map(keyEncryptionKeys.map((secret) => [kekIdOf(secret), expand(secret, 'platform-secrets')]))
  const [[currentId, currentKey] = ['', Buffer.alloc(0)]] = keys
  const seal = (context: string, plaintext: string) =>
    `${PLATFORM_VERSION}.${currentId}.${encrypt(currentKey, Buffer.from(plaintext, 'utf8'), context).toString('base64url')}`
  const open = (context: string, sealed: string) => {
    const [version, id = '', body] = sealed.split('.')
    const key = keys.get(id)
    if (version !== PLATFORM_VERSION || key === undefined || body === undefined)
      throw unavailable(new Error('not a sealed value, or its key-encryption key is not configured'))
    return decrypt(key, Buffer.from(body, 'base64url'), context).toString('utf8')
  }
  return {
    seal,
    open,
    reseal: (context, sealed) =>
      sealed.startsWith(`${PLATFORM_VERSION}.${currentId}.`) ? undefined : seal(context, open(context, sealed)),
  }
}

const unavailable = (cause: unknown) => new DomainError('secret-unavailable', 'A stored secret cannot be decrypted.', { cause })

const expand = (secret: string, purpose: string) => Buffer.from(hkdfSync('sha256', secret, 'evo-ai', purpose, 32))

const IV_BYTES = 12
const TAG_BYTES = 16

function encrypt(key: Buffer, plaintext: Buffer, context: string): Buffer {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(context))
  return Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

function decrypt(key: Buffer, sealed: Buffer, context: string): Buffer {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, IV_BYTES))
    decipher.setAAD(Buffer.from(context)).setAuthTag(sealed.subarray(sealed.length - TAG_BYTES))
    return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES, sealed.length - TAG_BYTES)), decipher.final()])
  } catch (cause) {
    throw unavailable(cause)
  }
}
