import { createHash, randomBytes } from 'node:crypto'

const MACHINE_KEY_PREFIX = 'evo_mk_'
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const SECRET_LENGTH = 40
/** Enough for the 32 bits of a CRC. */
const CHECK_LENGTH = 6
/** The largest multiple of 62 that a byte can hold: bytes above it would make the first letters likelier. */
const FAIR = 256 - (256 % ALPHABET.length)
const SHAPE = new RegExp(`^${MACHINE_KEY_PREFIX}[0-9A-Za-z]{${SECRET_LENGTH + CHECK_LENGTH}}$`)

/** 238 random bits and a checksum: scanners know it by its prefix, and a mistyped one is told without a look into the database. */
export function createMachineKey(): string {
  let secret = ''
  while (secret.length < SECRET_LENGTH)
    for (const byte of randomBytes(SECRET_LENGTH))
      if (byte < FAIR && secret.length < SECRET_LENGTH) secret += ALPHABET[byte % ALPHABET.length]
  return MACHINE_KEY_PREFIX + secret + checkOf(secret)
}

export const looksLikeMachineKey = (text: string): boolean => text.startsWith(MACHINE_KEY_PREFIX)

/** Of the right shape, and its checksum fits. */
export const isMachineKey = (text: string): boolean =>
  SHAPE.test(text) && checkOf(text.slice(MACHINE_KEY_PREFIX.length, -CHECK_LENGTH)) === text.slice(-CHECK_LENGTH)

/** What is stored. The key is random enough for a plain hash. */
export const hashMachineKey = (key: string): Buffer => createHash('sha256').update(key).digest()

/** How rates and changes are counted: known from the key alone, before any look into the database, and of no use to who reads it. */
export const subjectOfKeyHash = (hash: Buffer): string => `key:${hash.toString('hex', 0, 16)}`

function checkOf(secret: string): string {
  let rest = Bun.hash.crc32(secret)
  let check = ''
  for (let place = 0; place < CHECK_LENGTH; place++) {
    check = ALPHABET[rest % ALPHABET.length] + check
    rest = Math.floor(rest / ALPHABET.length)
  }
  return check
}
