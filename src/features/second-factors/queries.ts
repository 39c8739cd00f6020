import { and, count, eq, isNull, lt, sql } from 'drizzle-orm'
import { recoveryCodes, secondFactors, users } from '~/features/users/table'
import type { Db } from '~/platform/db'

export async function findFactor(db: Db, userId: string): Promise<{ sealedSecret: string; isConfirmed: boolean } | undefined> {
  const [row] = await db
    .select({ sealedSecret: secondFactors.sealedSecret, isConfirmed: sql<boolean>`${secondFactors.confirmedAt} is not null` })
    .from(secondFactors)
    .where(eq(secondFactors.userId, userId))
  return row
}

/** Takes the place of one that was never confirmed. False when there is a confirmed one. */
export async function putUnconfirmed(db: Db, userId: string, sealedSecret: string): Promise<boolean> {
  const rows = await db
    .insert(secondFactors)
    .values({ userId, sealedSecret })
    .onConflictDoUpdate({
      target: secondFactors.userId,
      set: { sealedSecret, createdAt: sql`now()` },
      setWhere: isNull(secondFactors.confirmedAt),
    })
    .returning({ userId: secondFactors.userId })
  return rows.length === 1
}

/** Of any number of parallel calls one is told true. */
export async function confirmFactor(db: Db, userId: string, sealedSecret: string, step: number): Promise<boolean> {
  const rows = await db
    .update(secondFactors)
    .set({ confirmedAt: sql`now()`, lastStep: step })
    .where(and(eq(secondFactors.userId, userId), eq(secondFactors.sealedSecret, sealedSecret), isNull(secondFactors.confirmedAt)))
    .returning({ userId: secondFactors.userId })
  return rows.length === 1
}

/** Whether the step's code was not used yet, nor one of a later step. Uses it up. */
export async function useStep(db: Db, userId: string, step: number): Promise<boolean> {
  const rows = await db
    .update(secondFactors)
    .set({ lastStep: step })
    .where(and(eq(secondFactors.userId, userId), lt(secondFactors.lastStep, step)))
    .returning({ userId: secondFactors.userId })
  return rows.length === 1
}

export async function useRecoveryCode(db: Db, userId: string, codeHash: Buffer): Promise<boolean> {
  const rows = await db
    .update(recoveryCodes)
    .set({ usedAt: sql`now()` })
    .where(and(eq(recoveryCodes.userId, userId), eq(recoveryCodes.codeHash, codeHash), isNull(recoveryCodes.usedAt)))
    .returning({ userId: recoveryCodes.userId })
  return rows.length === 1
}

export async function replaceRecoveryCodes(tx: Db, userId: string, hashes: Buffer[]): Promise<void> {
  await tx.delete(recoveryCodes).where(eq(recoveryCodes.userId, userId))
  await tx.insert(recoveryCodes).values(hashes.map((codeHash) => ({ userId, codeHash })))
}

export async function countRecoveryCodes(db: Db, userId: string): Promise<number> {
  const [row] = await db
    .select({ total: count() })
    .from(recoveryCodes)
    .where(and(eq(recoveryCodes.userId, userId), isNull(recoveryCodes.usedAt)))
  return row?.total ?? 0
}

/** With its recovery codes. False when there was none. */
export async function deleteFactor(tx: Db, userId: string): Promise<boolean> {
  await tx.delete(recoveryCodes).where(eq(recoveryCodes.userId, userId))
  const rows = await tx.delete(secondFactors).where(eq(secondFactors.userId, userId)).returning({ userId: secondFactors.userId })
  return rows.length === 1
}

export async function findOwner(db: Db, userId: string): Promise<{ id: string; email: string; clientId: string | null } | undefined> {
  const [row] = await db.select({ id: users.id, email: users.email, clientId: users.clientId }).from(users).where(eq(users.id, userId))
  return row
}
