import { type Credentials, replaceHash } from '~/features/users/queries'
import type { Attempts } from '~/platform/attempts'
import type { Db } from '~/platform/db'
import { DomainError } from '~/platform/errors'
import type { Passwords } from '~/platform/passwords/passwords'
import type { Actor } from '~/platform/principal'
import type { Write } from '~/platform/unit-of-work'
import { passwordOf } from './lock'

/**
 * Whether a password is the user's, for an address that may have no user: each wrong one counts against the address, alike for both. The last one that
 * is allowed is told to the owner by mail. A right one whose hash is not of today's kind is hashed anew.
 * @throws DomainError `too-many-attempts`, `overloaded`
 */
export type PasswordCheck = (actor: Actor, email: string, user: Credentials | undefined, password: string) => Promise<boolean>

interface Deps {
  db: Db
  write: Write
  passwords: Passwords
  attempts: Attempts
  bcryptCost: number
}

export const createPasswordCheck =
  ({ db, write, passwords, attempts, bcryptCost }: Deps): PasswordCheck =>
  async (actor, email, user, password) => {
    const stored = user && { hash: user.passwordHash, isImported: user.passwordIsImported }
    const { right, isLast } = await attempts.guess(
      { subject: passwordOf(email), address: actor.origin.address },
      async () => (await passwords.verify(password, stored)) && user?.passwordExpired === false,
    )
    if (right && user !== undefined) {
      if (!isOfToday(user, bcryptCost)) await replaceHash(db, user.id, user.passwordHash, await passwords.hash(password))
      return true
    }
    await write(actor, async ({ audit, mail }) => {
      const about = { resourceType: 'user', resourceId: user?.id ?? null, clientId: user?.clientId ?? null }
      audit({ action: 'login_failed', ...about })
      if (!isLast) return
      audit({ action: 'lock', ...about })
      if (user !== undefined) mail({ template: 'account-locked', user_id: user.id })
    })
    return false
  }

/** A signed-in person says who they are once more, before they change how they sign in. @throws DomainError `incorrect-password`, and as above */
export const refuseWrong = (right: boolean): void => {
  if (!right) throw new DomainError('incorrect-password', 'Current password is incorrect')
}

const isOfToday = ({ passwordHash, passwordIsImported }: Credentials, cost: number) =>
  !passwordIsImported && passwordHash.startsWith(`$2b$${String(cost).padStart(2, '0')}$`)
