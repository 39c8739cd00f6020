import { and, asc, eq, gt } from 'drizzle-orm'
import { secretOf } from '~/features/second-factors/service'
import { secondFactors } from '~/features/users/table'
import type { Db } from '~/platform/db'
import type { Secrets } from '~/platform/secrets'
import { resealRows } from './reseal'

/**
 * Brings the secrets of second factors under the newest of the ENCRYPTION_KEYs, while the server runs. They belong to people, admins too, and so to no
 * client's data key. One that changes meanwhile was sealed under the newest anyway. Returns how many were sealed anew.
 * @throws DomainError `secret-unavailable`
 */
export const resealSecondFactors = ({ db, secrets, signal }: { db: Db; secrets: Secrets; signal?: AbortSignal }): Promise<number> =>
  resealRows({
    page: (after, size) =>
      db
        .select({ userId: secondFactors.userId, sealed: secondFactors.sealedSecret })
        .from(secondFactors)
        .where(after === undefined ? undefined : gt(secondFactors.userId, after))
        .orderBy(asc(secondFactors.userId))
        .limit(size),
    placeOf: ({ userId }) => userId,
    async reseal({ userId, sealed }) {
      const anew = secrets.platform.reseal(secretOf(userId), sealed)
      if (anew === undefined) return 0
      const changed = await db
        .update(secondFactors)
        .set({ sealedSecret: anew })
        .where(and(eq(secondFactors.userId, userId), eq(secondFactors.sealedSecret, sealed)))
        .returning({ userId: secondFactors.userId })
      return changed.length
    },
    signal,
  })
