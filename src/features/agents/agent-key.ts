import { createHash } from 'node:crypto'
import { invalid } from '~/platform/errors'

const MAX_LENGTH = 200

/** As what an agent's own key and the key of its links are stored for look-up. */
export const hashKey = (key: string): Buffer => createHash('sha256').update(key).digest()

/**
 * The key that a config names. Undefined where it names none: then the agent keeps what it has, or is given one.
 * @throws DomainError `validation-failed` for what is no key
 */
export function ownKeyOf(key: unknown): string | undefined {
  if (key === undefined || key === null || key === '') return undefined
  if (typeof key !== 'string' || key.length > MAX_LENGTH)
    throw invalid('/config/api_key', 'invalid', `Must be a text of at most ${MAX_LENGTH} characters`)
  return key
}
