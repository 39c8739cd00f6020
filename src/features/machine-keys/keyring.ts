import type { MachineKeys } from '~/features/auth/authenticator'
import type { Db } from '~/platform/db'
import type { Log } from '~/platform/log'
import { hashMachineKey, isMachineKey, looksLikeMachineKey, subjectOfKeyHash } from './key'
import { findByHash, noteUse } from './queries'

/** How machine keys open the door. */
export const createMachineKeyring = ({ db, log }: { db: Db; log: Log }): MachineKeys => ({
  looksLikeOne: looksLikeMachineKey,

  subjectOf: (credential) => (isMachineKey(credential) ? subjectOfKeyHash(hashMachineKey(credential)) : undefined),

  async open(credential) {
    const key = await findByHash(db, hashMachineKey(credential))
    if (key === undefined) return undefined
    if (key.isUnnoted) noteUse(db, key.id).catch((error) => log.warn('the use of a machine key was not noted', { error }))
    return { keyId: key.id, clientId: key.clientId, agentId: key.agentId, scopes: key.scopes }
  },
})
