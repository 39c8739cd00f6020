import { createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto'

const VERSION = 0x80
const HEADER_BYTES = 1 + 8 + 16
const MAC_BYTES = 32
const BLOCK_BYTES = 16
const CLOCK_SKEW_SECONDS = 60
const CANONICAL = /^[A-Za-z0-9_-]+={0,2}$/

export interface Age {
  nowSeconds: number
  ttlSeconds: number
}

/**
 * Opens a Fernet token (github.com/fernet/spec): AES-128-CBC under the key's second half, HMAC-SHA256 under its first.
 * What is stored has no age; `age` is for who wants one. Undefined for whatever was not made with this key, or is too old or too new.
 */
export function openFernet(key: string, token: string, age?: Age): string | undefined {
  const secret = decode(key)
  const bytes = decode(token)
  if (secret?.length !== 32 || bytes === undefined || bytes[0] !== VERSION) return undefined
  const ciphertext = bytes.subarray(HEADER_BYTES, bytes.length - MAC_BYTES)
  if (bytes.length < HEADER_BYTES + BLOCK_BYTES + MAC_BYTES || ciphertext.length % BLOCK_BYTES !== 0) return undefined
  const mac = createHmac('sha256', secret.subarray(0, 16))
    .update(bytes.subarray(0, bytes.length - MAC_BYTES))
    .digest()
  if (!timingSafeEqual(mac, bytes.subarray(bytes.length - MAC_BYTES))) return undefined
  if (age !== undefined && !isTimely(Number(bytes.readBigUInt64BE(1)), age)) return undefined
  try {
    const decipher = createDecipheriv('aes-128-cbc', secret.subarray(16), bytes.subarray(9, HEADER_BYTES))
    return Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString('utf8')
  } catch {
    // The padding is wrong: made by somebody with the key, yet not a message.
    return undefined
  }
}

/** 32 bytes in URL-safe base64, as the reference's ENCRYPTION_KEY must be. */
export const isFernetKey = (key: string) => decode(key)?.length === 32

const isTimely = (madeAt: number, { nowSeconds, ttlSeconds }: Age) =>
  madeAt <= nowSeconds + CLOCK_SKEW_SECONDS && nowSeconds <= madeAt + ttlSeconds

const decode = (text: string) => (CANONICAL.test(text) ? Buffer.from(text, 'base64url') : undefined)
