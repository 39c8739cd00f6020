import { authorize, reachesOneAgent } from '~/platform/access'
import type { Admission } from '~/platform/admission'
import { type Db, sqlState } from '~/platform/db'
import { DomainError, invalid, notFound } from '~/platform/errors'
import { idOrNull, type Page } from '~/platform/http/schema'
import { type Listed, pageFrom } from '~/platform/keyset'
import { oneAtATime } from '~/platform/one-at-a-time'
import type { UserPrincipal } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { createMachineKey, hashMachineKey, subjectOfKeyHash } from './key'
import {
  countMachineKeys,
  type Hashes,
  insertMachineKey,
  listMachineKeys,
  lockMachineKey,
  revokeMachineKey,
  rotateMachineKey,
} from './queries'
import type { MachineKey, MachineKeyWithSecret, NewMachineKey } from './schema'

export type MachineKeyService = ReturnType<typeof createMachineKeyService>

const MAX_KEYS = 100
const DEFAULT_OVERLAP_SECONDS = 3600

/** The keys of a client's programs: each with no more rights than it names, made and ended by the client's owners. */
export const createMachineKeyService = ({ db, write, admission }: { db: Db; write: Write; admission: Admission }) => ({
  async create(principal: UserPrincipal, clientId: string, input: NewMachineKey): Promise<MachineKeyWithSecret> {
    authorize(principal, 'write', { kind: 'machine-keys', clientId })
    const { name, scopes } = input
    const agentId = idOrNull(input.agent_id)
    const idle = agentId === null ? undefined : scopes.find((scope) => !reachesOneAgent(scope))
    if (idle !== undefined) throw invalid('/scopes', 'choice', `A key for one agent has no use for ${idle}`)
    const id = Bun.randomUUIDv7()
    const secret = createMachineKey()
    const key = await write(principal, async ({ tx, audit }) => {
      await oneAtATime(tx, 'machine keys', clientId)
      if ((await countMachineKeys(tx, clientId)) >= MAX_KEYS)
        throw new DomainError('conflict', `There are ${MAX_KEYS} machine keys. Revoke some of them first.`)
      const row = await insertMachineKey(tx, {
        id,
        clientId,
        agentId,
        name,
        scopes,
        keyHash: hashMachineKey(secret),
        lastFour: secret.slice(-4),
        expiresAt: futureOf(input.expires_at),
        createdBy: principal.userId,
      }).catch(refuseReference)
      audit({ action: 'create', resourceType: 'machine_key', resourceId: id, clientId, details: { name, scopes, agent_id: agentId } })
      return row
    })
    // An Idempotency-Key gives the first request's row, whose secret nobody has kept.
    return { ...key, key: key.id === id ? secret : null }
  },

  async list(principal: UserPrincipal, clientId: string, page: Page): Promise<Listed<MachineKey>> {
    authorize(principal, 'read', { kind: 'machine-keys', clientId })
    const [rows, total] = await Promise.all([listMachineKeys(db, clientId, page), countMachineKeys(db, clientId)])
    return { ...pageFrom(rows, page.limit), total }
  },

  /** A new secret; the former one is good for a while, so that programs can be changed one by one. */
  async rotate(
    principal: UserPrincipal,
    clientId: string,
    id: string,
    overlapSeconds = DEFAULT_OVERLAP_SECONDS,
  ): Promise<MachineKeyWithSecret> {
    authorize(principal, 'write', { kind: 'machine-keys', clientId })
    const secret = createMachineKey()
    const lastFour = secret.slice(-4)
    const { row, before } = await write(principal, async ({ tx, audit }) => {
      const locked = await lockMachineKey(tx, clientId, id)
      if (locked === undefined) throw notFound('Machine key')
      if (locked.expired) throw new DomainError('conflict', 'The key has expired. Make a new one.')
      const rotated = await rotateMachineKey(tx, id, { keyHash: hashMachineKey(secret), lastFour, overlapSeconds })
      audit({ action: 'rotate', resourceType: 'machine_key', resourceId: id, clientId, details: { overlap_seconds: overlapSeconds } })
      return { row: rotated, before: subjectsOf(locked) }
    })
    await Promise.all(before.map((subject) => admission.changed(subject)))
    return { ...row, key: row.last_four === lastFour ? secret : null }
  },

  /** Effective on every replica with the next request. */
  async revoke(principal: UserPrincipal, clientId: string, id: string): Promise<void> {
    authorize(principal, 'write', { kind: 'machine-keys', clientId })
    const subjects = await write(principal, async ({ tx, audit }) => {
      const gone = await revokeMachineKey(tx, clientId, id)
      if (gone === undefined) throw notFound('Machine key')
      audit({ action: 'revoke', resourceType: 'machine_key', resourceId: id, clientId, details: { name: gone.name } })
      return subjectsOf(gone)
    })
    await Promise.all(subjects.map((subject) => admission.changed(subject)))
  },
})

const subjectsOf = ({ keyHash, previousHash }: Hashes) =>
  [keyHash, previousHash].flatMap((hash) => (hash === null ? [] : [subjectOfKeyHash(hash)]))

function futureOf(text: string | null | undefined): Date | null {
  if (text == null) return null
  const date = new Date(text)
  if (!(date.getTime() > Date.now())) throw invalid('/expires_at', 'range', 'Must lie in the future')
  return date
}

/** The database itself refuses an agent of another client; an unknown one looks the same. */
function refuseReference(error: unknown): never {
  const state = sqlState(error)
  if (state?.code === '23503' && state.constraint?.includes('agent_id')) throw invalid('/agent_id', 'not-found', 'Agent not found')
  throw error
}
