import { createHash } from 'node:crypto'

/** As what an agent's own key and the key of its links are stored for look-up. */
export const hashKey = (key: string): Buffer => createHash('sha256').update(key).digest()
