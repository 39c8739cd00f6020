import { and, asc, eq, gt } from 'drizzle-orm'
import { secretOf } from '~/features/second-factors/service'
import { secondFactors } from '~/features/users/table'
import type { Db } from '~/platform/db'
import type { Secrets } from '~/platform/secrets'

const PAGE_SIZE = 100

/**
 * Brings the secrets of second factors under the newest of the ENCRYPTION_KEYs, while the server runs. They belong to people, admins too, and so to no
 * client's data key. One that changes meanwhile was sealed under the newest anyway. Returns how many were sealed anew.
 * @throws DomainError `secret-unavailable`
 */
export async function resealSecondFactors({ db, secrets, signal }: { db: Db; secrets: Secrets; signal?: AbortSignal }): Promise<number> {
  let total = 0
  let after: string | undefined
  for (;;) {
    const rows = await db
      .select({ userId: secondFactors.userId, sealed: secondFactors.sealedSecret })
      .from(secondFactors)
      .where(after === undefined ? undefined : gt(secondFactors.userId, after))
      .orderBy(asc(secondFactors.userId))
      .limit(PAGE_SIZE)
    for (const { userId, sealed } of rows) {
      if (signal?.aborted) return total
      const anew = secrets.platform.reseal(secretOf(userId), sealed)
      if (anew === undefined) continue
      const changed = await db
        .update(secondFactors)
        .set({ sealedSecret: anew })
        .where(and(eq(secondFactors.userId, userId), eq(secondFactors.sealedSecret, sealed)))
        .returning({ userId: secondFactors.userId })
      total += changed.length
    }
    after = rows.at(-1)?.userId
    if (after === undefined) return total
  }
}
