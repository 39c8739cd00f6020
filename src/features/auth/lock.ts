import type { Attempts } from '~/platform/attempts'
import type { Db } from '~/platform/db'

/** What is guessed at when somebody signs in: a password by the address, which may have no user, and then a code by the user. */
export const passwordOf = (email: string) => `sign-in:${email.toLowerCase()}`
export const secondFactorOf = (userId: string) => `second-factor:${userId}`

/** Gives a person all tries back, at the password and at the second factor. */
export type Unlock = (tx: Db, user: { id: string; email: string }) => Promise<void>

export const createUnlock =
  ({ attempts }: { attempts: Attempts }): Unlock =>
  async (tx, { id, email }) => {
    await attempts.unlock(tx, passwordOf(email))
    await attempts.unlock(tx, secondFactorOf(id))
  }
