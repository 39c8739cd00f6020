import type { Attempts } from '~/platform/attempts'
import type { Db } from '~/platform/db'
import type { Actor } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'

/** What is guessed at when somebody signs in: a password by the address, which may have no user, and then a code by the user. */
export const passwordOf = (email: string) => `sign-in:${email.toLowerCase()}`
export const secondFactorOf = (userId: string) => `second-factor:${userId}`

export interface Guessed {
  subject: string
  /** As in `Tries`. */
  everywhere?: number
  user: { id: string; clientId: string | null } | undefined
  /** How a failure is called in the audit log. */
  failure: string
}

/**
 * Lets somebody guess, as long as the subject has tries left. Each failure is audited; the last one that is allowed is told to the owner by mail.
 * The same is done where there is no user. @throws DomainError `too-many-attempts`, and what the guess throws
 */
export type Guess = (actor: Actor, guessed: Guessed, isRight: () => Promise<boolean>) => Promise<boolean>

export const createGuess =
  ({ attempts, write }: { attempts: Attempts; write: Write }): Guess =>
  async (actor, { user, failure, ...tries }, isRight) => {
    const { right, isLast } = await attempts.guess({ ...tries, address: actor.origin.address }, isRight)
    if (right) return true
    await write(actor, async ({ audit, mail }) => {
      const about = { resourceType: 'user', resourceId: user?.id ?? null, clientId: user?.clientId ?? null }
      audit({ action: failure, ...about })
      if (!isLast) return
      audit({ action: 'lock', ...about })
      if (user !== undefined) mail({ template: 'account-locked', user_id: user.id })
    })
    return false
  }

/** Gives a person all tries back, at the password and at the second factor. */
export type Unlock = (tx: Db, user: { id: string; email: string }) => Promise<void>

export const createUnlock =
  ({ attempts }: { attempts: Attempts }): Unlock =>
  async (tx, { id, email }) => {
    await attempts.unlock(tx, passwordOf(email))
    await attempts.unlock(tx, secondFactorOf(id))
  }
