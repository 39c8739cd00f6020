import type { Admission } from '~/platform/admission'
import type { Db } from '~/platform/db'
import { endSessions } from './queries'

export interface EndedSession {
  userId: string
  sessionId: string
}

/** Ends the sign-ins of people who lose their access. */
export interface SignOut {
  /** In the transaction that takes the access away: PostgreSQL is the truth. What an admin does as others ends with their own sign-ins. `except`: a sign-in that stays. */
  end(tx: Db, userIds: string[], except?: string): Promise<EndedSession[]>
  /** After its COMMIT: every replica refuses the tokens from now on, and not only once it has looked the account up again. */
  announce(ended: EndedSession[]): Promise<void>
  /** After the COMMIT of a change of their rights: every replica looks them up again. */
  announceChange(userId: string): Promise<void>
}

export const createSignOut = ({ admission }: { admission: Admission }): SignOut => ({
  end: (tx, userIds, except) => (userIds.length === 0 ? Promise.resolve([]) : endSessions(tx, userIds, except)),

  async announce(ended) {
    const byUser = Map.groupBy(ended, ({ userId }) => userId)
    await Promise.all(
      [...byUser].map(([userId, sessions]) =>
        admission.deny(
          userId,
          sessions.map(({ sessionId }) => sessionId),
        ),
      ),
    )
  },

  announceChange: (userId) => admission.changed(userId),
})
