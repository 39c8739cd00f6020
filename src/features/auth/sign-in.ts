import type { SignedIn } from '~/features/sign-ins/schema'
import type { SignInService } from '~/features/sign-ins/service'
import { findCredentials, findUser } from '~/features/users/queries'
import type { User } from '~/features/users/schema'
import type { Db } from '~/platform/db'
import { DomainError, notFound } from '~/platform/errors'
import type { Actor, UserPrincipal } from '~/platform/principal'
import type { PasswordCheck } from './password-check'

interface Deps {
  db: Db
  checkPassword: PasswordCheck
  signIns: Pick<SignInService, 'start'>
}

/** Signing in with a password. */
export const createSignIn = ({ db, checkPassword, signIns }: Deps) => ({
  /** @throws DomainError `invalid-credentials`, `too-many-attempts`; `email-not-verified` and `account-inactive` only after the right password. */
  async login(actor: Actor, email: string, password: string): Promise<SignedIn> {
    const user = await findCredentials(db, { email })
    const right = await checkPassword(actor, email, user, password)
    if (user === undefined || !right) throw new DomainError('invalid-credentials', 'Invalid email or password')
    if (!user.emailVerified) throw new DomainError('email-not-verified', 'Email not verified')
    if (!user.isActive) throw new DomainError('account-inactive', 'User account is inactive')
    return signIns.start(actor, user)
  },

  async me(principal: UserPrincipal): Promise<User> {
    const user = await findUser(db, principal.userId)
    if (user === undefined) throw notFound('User')
    return user
  },
})
