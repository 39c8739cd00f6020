import { invalid } from '../errors'
import type { Passwords } from './passwords'

const MAX_BYTES = 512

/** Hashes a password that is set anew. `pointer` names the field it came in. @throws DomainError `validation-failed`, `overloaded` */
export type HashNewPassword = (pointer: string, password: string) => Promise<string>

export const createHashNewPassword =
  ({ passwords }: { passwords: Passwords }): HashNewPassword =>
  async (pointer, password) => {
    if (Buffer.byteLength(password) > MAX_BYTES) throw invalid(pointer, 'length', `Must have at most ${MAX_BYTES} bytes`)
    return passwords.hash(password)
  }
