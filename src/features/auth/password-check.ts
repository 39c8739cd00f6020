import { type Credentials, findCredentials, replaceHash } from '~/features/users/queries'
import type { Db } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import type { Passwords } from '~/platform/passwords/passwords'
import type { Actor, UserPrincipal } from '~/platform/principal'
import { type Guess, passwordOf } from './lock'

/**
 * The stored hash of a password that is the user's, undefined for a wrong one; for an address that has no user too, with the same work. A right one whose
 * hash is not of today's kind is hashed anew. @throws DomainError `too-many-attempts`, `overloaded`
 */
export type PasswordCheck = (actor: Actor, email: string, user: Credentials | undefined, password: string) => Promise<string | undefined>

interface Deps {
  db: Db
  passwords: Passwords
  guess: Guess
  bcryptCost: number
}

export const createPasswordCheck =
  ({ db, passwords, guess, bcryptCost }: Deps): PasswordCheck =>
  async (actor, email, user, password) => {
    await passwords.waitForRoom()
    const stored = user && { hash: user.passwordHash, isImported: user.passwordIsImported }
    const right = await guess(
      actor,
      { subject: passwordOf(email), user, failure: 'login_failed' },
      async () => (await passwords.verify(password, stored)) && user?.passwordExpired === false,
    )
    if (!right || user === undefined) return undefined
    if (isOfToday(user, bcryptCost)) return user.passwordHash
    const hash = await passwords.hash(password)
    await replaceHash(db, user.id, user.passwordHash, hash)
    return hash
  }

/**
 * A signed-in person says once more who they are, before they change how they sign in. Their hash, as it is stored now, tells in the transaction of the
 * change whether somebody set another password meanwhile. @throws DomainError `incorrect-password`, `too-many-attempts`, `overloaded`
 */
export type OwnPasswordCheck = (principal: UserPrincipal, password: string) => Promise<Credentials>

export const createOwnPasswordCheck =
  ({ db, checkPassword }: { db: Db; checkPassword: PasswordCheck }): OwnPasswordCheck =>
  async (principal, password) => {
    const user = await findCredentials(db, { id: principal.userId })
    if (user === undefined) throw notFound('User')
    const passwordHash = await checkPassword(principal, user.email, user, password)
    if (passwordHash === undefined) throw incorrectPassword()
    return { ...user, passwordHash }
  }

export const incorrectPassword = () => new DomainError('incorrect-password', 'Current password is incorrect')

const isOfToday = ({ passwordHash, passwordIsImported }: Credentials, cost: number) =>
  !passwordIsImported && passwordHash.startsWith(`$2b$${String(cost).padStart(2, '0')}$`)
