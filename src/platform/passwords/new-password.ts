import { invalid } from '../errors'
import { MAX_PASSWORD_BYTES } from './bounds'
import { isCommon } from './common-passwords'
import { namesItself } from './context-words'
import type { Passwords } from './passwords'

/** `chosen`: by the person who will use it, whose address and organisation it must not repeat. `initial`: given by somebody else, and soon replaced. */
export type NewPassword = { chosen: string; about: { email: string; names: readonly (string | null)[] } } | { initial: string }

/** Hashes a password that is set anew. `pointer` names the field it came in. @throws DomainError `validation-failed`, `overloaded` */
export type HashNewPassword = (pointer: string, password: NewPassword) => Promise<string>

export const createHashNewPassword =
  ({ passwords }: { passwords: Passwords }): HashNewPassword =>
  async (pointer, given) => {
    const password = 'chosen' in given ? given.chosen : given.initial
    if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) throw invalid(pointer, 'length', `Must have at most ${MAX_PASSWORD_BYTES} bytes`)
    if ('chosen' in given) {
      if (await isCommon(password)) throw invalid(pointer, 'password-compromised', 'Is one of the passwords that are tried first')
      if (namesItself(password, given.about))
        throw invalid(pointer, 'password-context', 'Must not be made of your address, your organisation or the name of this product')
    }
    return passwords.hash(password)
  }
