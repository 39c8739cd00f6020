import { and, asc, count, eq, gt, isNull, or, sql } from 'drizzle-orm'
import type { Db } from '~/platform/db'
import type { Page } from '~/platform/http/schema'
import { behind, momentOf } from '~/platform/keyset'
import type { MachineKey } from './schema'
import { machineKeys } from './table'

/** What leaves this file towards a client: no hash. */
const view = {
  id: machineKeys.id,
  client_id: machineKeys.clientId,
  agent_id: machineKeys.agentId,
  name: machineKeys.name,
  scopes: machineKeys.scopes,
  last_four: machineKeys.lastFour,
  expires_at: machineKeys.expiresAt,
  last_used_at: machineKeys.lastUsedAt,
  previous_expires_at: machineKeys.previousExpiresAt,
  created_by: machineKeys.createdBy,
  created_at: machineKeys.createdAt,
  updated_at: machineKeys.updatedAt,
}

const livingOf = (clientId: string) => and(eq(machineKeys.clientId, clientId), isNull(machineKeys.revokedAt))

export async function insertMachineKey(db: Db, key: typeof machineKeys.$inferInsert): Promise<MachineKey> {
  const [row] = await db.insert(machineKeys).values(key).returning(view)
  return row as MachineKey
}

/** Oldest first; those that have expired too, until somebody revokes them. */
export const listMachineKeys = (db: Db, clientId: string, { skip, limit, after }: Page) =>
  db
    .select({ ...view, at: momentOf(machineKeys.createdAt) })
    .from(machineKeys)
    .where(and(livingOf(clientId), behind(after, { by: machineKeys.createdAt, id: machineKeys.id })))
    .orderBy(asc(machineKeys.createdAt), asc(machineKeys.id))
    .offset(skip)
    .limit(limit)

export async function countMachineKeys(db: Db, clientId: string): Promise<number> {
  const [row] = await db.select({ total: count() }).from(machineKeys).where(livingOf(clientId))
  return row?.total ?? 0
}

/** What its secrets hash to: how replicas are told of a change. */
export interface Hashes {
  keyHash: Buffer
  previousHash: Buffer | null
}

export async function revokeMachineKey(db: Db, clientId: string, id: string): Promise<(Hashes & { name: string }) | undefined> {
  const [row] = await db
    .update(machineKeys)
    .set({ revokedAt: sql`now()` })
    .where(and(livingOf(clientId), eq(machineKeys.id, id)))
    .returning({ keyHash: machineKeys.keyHash, previousHash: machineKeys.previousHash, name: machineKeys.name })
  return row
}

export async function lockMachineKey(tx: Db, clientId: string, id: string): Promise<(Hashes & { expired: boolean }) | undefined> {
  const [row] = await tx
    .select({
      keyHash: machineKeys.keyHash,
      previousHash: machineKeys.previousHash,
      expired: sql<boolean>`coalesce(${machineKeys.expiresAt} <= now(), false)`,
    })
    .from(machineKeys)
    .where(and(livingOf(clientId), eq(machineKeys.id, id)))
    .for('no key update')
  return row
}

/** The present secret becomes the former one, good for so long. */
export async function rotateMachineKey(
  tx: Db,
  id: string,
  { keyHash, lastFour, overlapSeconds }: { keyHash: Buffer; lastFour: string; overlapSeconds: number },
): Promise<MachineKey> {
  const [row] = await tx
    .update(machineKeys)
    .set({
      previousHash: sql`${machineKeys.keyHash}`,
      previousExpiresAt: sql`now() + ${overlapSeconds} * interval '1 second'`,
      keyHash,
      lastFour,
      updatedAt: sql`now()`,
    })
    .where(eq(machineKeys.id, id))
    .returning(view)
  return row as MachineKey
}

export interface OpenedKey {
  id: string
  clientId: string
  agentId: string | null
  scopes: string[]
  /** Not yet noted as used within the last minute. */
  isUnnoted: boolean
}

/** By a secret that is good now: the present one, or the former one for as long as it is. */
export async function findByHash(db: Db, hash: Buffer): Promise<OpenedKey | undefined> {
  const [row] = await db
    .select({
      id: machineKeys.id,
      clientId: machineKeys.clientId,
      agentId: machineKeys.agentId,
      scopes: machineKeys.scopes,
      isUnnoted: sql<boolean>`coalesce(${machineKeys.lastUsedAt} < now() - interval '1 minute', true)`,
    })
    .from(machineKeys)
    .where(
      and(
        or(eq(machineKeys.keyHash, hash), and(eq(machineKeys.previousHash, hash), gt(machineKeys.previousExpiresAt, sql`now()`))),
        isNull(machineKeys.revokedAt),
        or(isNull(machineKeys.expiresAt), gt(machineKeys.expiresAt, sql`now()`)),
      ),
    )
  return row
}

export const noteUse = (db: Db, id: string) => db.update(machineKeys).set({ lastUsedAt: sql`now()` }).where(eq(machineKeys.id, id))
