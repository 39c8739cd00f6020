import { createHash, randomInt } from 'node:crypto'

/** No letter or digit that is read as another one. */
const ALPHABET = 'abcdefghjkmnpqrstuvwxyz23456789'
const GROUPS = 4
const GROUP = 4
const COUNT = 10

/** Ten codes of 79 bits each, `abcd-efgh-jkmn-pqrs`: each stands in for the device once. */
export const newRecoveryCodes = (): string[] =>
  Array.from({ length: COUNT }, () => Array.from({ length: GROUPS }, () => letters(GROUP)).join('-'))

const letters = (length: number) => Array.from({ length }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')

/** What is stored. A code is random enough for a plain hash. Case, blanks and dashes do not matter. */
export const hashRecoveryCode = (userId: string, code: string): Buffer =>
  createHash('sha256')
    .update(`recovery-code:${userId}:${code.toLowerCase().replaceAll(/[^a-z0-9]/g, '')}`)
    .digest()
