import { createHmac, randomInt } from 'node:crypto'

/** No letter or digit that is read as another one. */
const ALPHABET = 'abcdefghjkmnpqrstuvwxyz23456789'
const HALF = 5
const COUNT = 10

/** Ten codes of 49 bits each, `abcde-fghij`: each stands in for the device once. */
export const newRecoveryCodes = (): string[] => Array.from({ length: COUNT }, () => `${letters(HALF)}-${letters(HALF)}`)

const letters = (length: number) => Array.from({ length }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')

/** What is stored. Keyed, since whoever had only a plain hash could try all codes. Case, blanks and the dash do not matter. */
export const hashRecoveryCode = (key: Buffer, userId: string, code: string): Buffer =>
  createHmac('sha256', key)
    .update(`recovery-code:${userId}:${code.toLowerCase().replaceAll(/[^a-z0-9]/g, '')}`)
    .digest()
