import { createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import type { DerivedKeys } from '~/platform/secrets'

const PREFIX = 'evo_rt_'
const ID_BYTES = 16
const SECRET_BYTES = 32
const SEAL_BYTES = 16
const BODY_BYTES = ID_BYTES + 4 + SECRET_BYTES
const LENGTH = PREFIX.length + Math.ceil(((BODY_BYTES + SEAL_BYTES) * 4) / 3)

export interface RefreshToken {
  sessionId: string
  /** How often the sign-in had been refreshed before this token. */
  generation: number
  /** Ours and unchanged, under one of the present server keys. A current token is known by its hash, whatever the key. */
  isSealed: boolean
  text: string
}

interface Keys {
  seal: Buffer
  chain: Buffer
}

const derived = (key: Buffer, use: string) => Buffer.from(hkdfSync('sha256', key, 'refresh-token', use, 32))

export type RefreshTokens = ReturnType<typeof createRefreshTokens>

/**
 * The tokens of one sign-in are a chain: each follows from the one before and a server key. So the holder of a used token can be given the same
 * successor once more (a lost answer, a second tab) although only hashes are stored, and neither a copy of the database nor the key opens anything.
 * The seal tells a used token, which is a sign of theft, from an invented one, which is none.
 */
export function createRefreshTokens({ keys }: { keys: DerivedKeys }) {
  const [newest, ...older] = keys.map((key) => ({ seal: derived(key, 'seal'), chain: derived(key, 'chain') }))
  if (newest === undefined) throw new Error('refresh tokens need a key')
  const sealOf = (body: Buffer, { seal }: Keys) => createHmac('sha256', seal).update(body).digest().subarray(0, SEAL_BYTES)
  /** The keys that a token is sealed with: a chain goes on with them for as long as they are there, so that a successor stays the same. */
  const keysOf = (bytes: Buffer) => {
    const seal = bytes.subarray(BODY_BYTES)
    return [newest, ...older].find((known) => timingSafeEqual(seal, sealOf(bytes.subarray(0, BODY_BYTES), known)))
  }
  const bytesOf = (text: string) => Buffer.from(text.slice(PREFIX.length), 'base64url')

  const write = (sessionId: string, generation: number, secret: Buffer, known: Keys): RefreshToken => {
    const body = Buffer.alloc(BODY_BYTES)
    body.write(sessionId.replaceAll('-', ''), 0, 'hex')
    body.writeUInt32BE(generation, ID_BYTES)
    secret.copy(body, ID_BYTES + 4)
    return { sessionId, generation, isSealed: true, text: PREFIX + Buffer.concat([body, sealOf(body, known)]).toString('base64url') }
  }

  return {
    first: (sessionId: string): RefreshToken => write(sessionId, 0, randomBytes(SECRET_BYTES), newest),

    /** Always the same for the same token. */
    next({ sessionId, generation, text }: RefreshToken): RefreshToken {
      const known = keysOf(bytesOf(text)) ?? newest
      return write(sessionId, generation + 1, createHmac('sha256', known.chain).update(text).digest(), known)
    },

    /** Undefined for what does not look like one; only its one spelling does. */
    read(text: string): RefreshToken | undefined {
      if (text.length !== LENGTH || !text.startsWith(PREFIX)) return undefined
      const bytes = bytesOf(text)
      if (PREFIX + bytes.toString('base64url') !== text) return undefined
      const body = bytes.subarray(0, BODY_BYTES)
      const id = body.toString('hex', 0, ID_BYTES)
      return {
        sessionId: id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
        generation: body.readUInt32BE(ID_BYTES),
        isSealed: keysOf(bytes) !== undefined,
        text,
      }
    },
  }
}

/** What is stored. The token is random enough for a plain hash. */
export const hashRefreshToken = ({ text }: RefreshToken): Buffer => createHash('sha256').update(text).digest()
